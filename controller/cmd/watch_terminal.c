/* Raw mode, the other screen, its size. */
#include "controller/cmd/watch_terminal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

static bool locale_is_utf8(void)
{
    static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);

        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

void terminal_measure(struct terminal *terminal)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;

    terminal->columns = known ? size.ws_col : 80;
    terminal->rows = known ? size.ws_row : 24;
}

static void put(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

void terminal_begin(struct terminal *terminal)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    sigset_t signals;

    *terminal = (struct terminal){ .signal_fd = -1, .has_utf8 = locale_is_utf8() };
    terminal->is_screen = isatty(STDOUT_FILENO) && !(term && !strcmp(term, "dumb"));
    terminal->has_keys = terminal->is_screen && isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &terminal->before) == 0;
    terminal->has_colour = terminal->is_screen && !(no_colour && *no_colour);
    terminal_measure(terminal);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGWINCH);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    terminal->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (terminal->has_keys) {
        struct termios raw = terminal->before;

        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    if (terminal->is_screen)
        put("\033[?1049h\033[?25l");
}

void terminal_end(struct terminal *terminal)
{
    sigset_t signals;

    if (terminal->is_screen)
        put("\033[?25h\033[?1049l");
    if (terminal->has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal->before);
    if (terminal->signal_fd >= 0)
        close(terminal->signal_fd);
    terminal->signal_fd = -1;
    sigemptyset(&signals);
    sigprocmask(SIG_SETMASK, &signals, NULL);
}

int terminal_signal(const struct terminal *terminal)
{
    struct signalfd_siginfo info;

    return read(terminal->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

/* In one write and between marks that keep half a frame from being shown, where the terminal knows them. */
void terminal_draw(const struct buf *frame)
{
    struct buf out;

    buf_init(&out, frame->length + frame->length / 2 + 4096);
    buf_puts(&out, "\033[?2026h\033[H");
    for (const char *line = frame->data, *end; *line; line = end + 1) {
        end = strchrnul(line, '\n');
        buf_append(&out, line, (size_t)(end - line));
        buf_puts(&out, *end ? "\033[K\r\n" : "\033[K");
        if (!*end)
            break;
    }
    buf_puts(&out, "\033[J\033[?2026l");
    fwrite(out.data, 1, out.length, stdout);
    fflush(stdout);
    buf_done(&out);
}
