/* The keys of a game day: people, and what is expected of them. */
#include "scenarios/playbook/keys.h"

static const struct key_desc role_keys[] = {
    { "commander", KEY_TEXT, AT(gameday_roles, commander), .help = "Leads the day and decides." },
    { "driver", KEY_TEXT, AT(gameday_roles, driver), .help = "Sits at the keyboard of `perturb gameday`." },
    { "observer", KEY_TEXT, AT(gameday_roles, observer), .help = "Writes down what happens." },
    { "abort-owner", KEY_TEXT, AT(gameday_roles, abort_owner), .help = "Says stop, and has the command for it." },
};
static const struct section_desc role_section = { "roles", sizeof(struct gameday_roles), KEYS(role_keys), NO_NODE, NO_NAME,
                                                  .help = "Who does what." };

static const struct key_desc goal_keys[] = {
    { "detect", VALUE(UNIT_DURATION, MILLISECOND, DAY, ABSENT), AT(gameday_goals, detect), .help = "From the deviation until somebody noticed." },
    { "acknowledge", VALUE(UNIT_DURATION, MILLISECOND, DAY, ABSENT), AT(gameday_goals, acknowledge), .help = "From there until somebody took it on." },
    { "mitigate", VALUE(UNIT_DURATION, MILLISECOND, DAY, ABSENT), AT(gameday_goals, mitigate), .help = "From the detection until it was mitigated." },
};
static const struct section_desc goal_section = { "goals", sizeof(struct gameday_goals), KEYS(goal_keys), NO_NODE, NO_NAME,
                                                  .help = "How fast people are to be, each at most." };

static const struct key_desc finding_keys[] = {
    { "owner", KEY_TEXT, AT(gameday_findings, owner), .help = "Who mends it." },
    { "due", VALUE(UNIT_DURATION, DAY, 400 * DAY, 14 * DAY), AT(gameday_findings, due), .help = "When it is to be tested again, from the day on." },
};
static const struct section_desc finding_section = { "findings", sizeof(struct gameday_findings), KEYS(finding_keys), NO_NODE, NO_NAME,
                                                     .help = "Of what was found wanting." };

static const struct key_desc gameday_keys[] = {
    { "scenario", VALUE(UNIT_ENUM, 0, 1, 0), AT(gameday_section, scenario), .words = "announced secret",
      .help = "secret: the participants' view hides which faults act until they are released." },
    { "roles", KEY_SECTION, AT(gameday_section, roles), .section = &role_section, .help = "Who does what." },
    { "checklist", KEY_TEXTS, AT(gameday_section, checklist), .help = "Nothing starts until each of these is ticked." },
    { "goals", KEY_SECTION, AT(gameday_section, goals), .section = &goal_section, .help = "How fast people are to be." },
    { "findings", KEY_SECTION, AT(gameday_section, findings), .section = &finding_section, .help = "Who gets what was found wanting." },
};
const struct section_desc gameday_section = { "gameday", sizeof(struct gameday_section), KEYS(gameday_keys), offsetof(struct gameday_section, node),
                                              NO_NAME, .help = "A guided run with people (`perturb gameday`)." };
