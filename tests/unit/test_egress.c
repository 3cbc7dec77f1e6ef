/* Which addresses may be gone to: a table, written from the registries and not from the code. */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static const char *judge(const struct egress *egress, const char *text)
{
    struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(80) };
    struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) };

    if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1)
        return egress_refusal(egress, (struct sockaddr *)&ipv4);
    assert_int_equal(inet_pton(AF_INET6, text, &ipv6.sin6_addr), 1);
    return egress_refusal(egress, (struct sockaddr *)&ipv6);
}

static void refuses_what_lies_inside(void **state)
{
    static const char *const inside[] = {
        "127.0.0.1", "127.8.9.1", "0.0.0.0", "0.1.2.3", "::1", "::", "169.254.169.254", "169.254.0.1", "fe80::1", "febf::1", "fec0::1",
        "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "224.0.0.1", "239.255.255.255", "ff02::1",
        "255.255.255.255", "240.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::169.254.169.254",
        "2002:7f00:0001::1", "2002:a9fe:a9fe::",
    };
    const struct egress egress = { .loopback = false };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(inside); i++) {
        if (!judge(&egress, inside[i]))
            print_error("%s\n", inside[i]);
        assert_non_null(judge(&egress, inside[i]));
    }
}

static void lets_others_pass(void **state)
{
    static const char *const outside[] = { "192.0.2.1", "10.0.0.5", "192.168.1.1", "172.16.0.1", "8.8.8.8", "168.63.129.17", "100.100.100.201",
                                           "2001:db8::1", "fd00::1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1", "2002:c000:0201::1", "128.0.0.1",
                                           "126.255.255.255", "1.0.0.1", "223.255.255.255" };
    const struct egress egress = { .loopback = false };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
        if (judge(&egress, outside[i]))
            print_error("%s: %s\n", outside[i], judge(&egress, outside[i]));
        assert_null(judge(&egress, outside[i]));
    }
}

static void loopback_is_a_switch_of_its_own(void **state)
{
    const struct egress egress = { .loopback = true };

    (void)state;
    assert_null(judge(&egress, "127.0.0.1"));
    assert_null(judge(&egress, "::1"));
    assert_null(judge(&egress, "::ffff:127.0.0.1"));
    assert_non_null(judge(&egress, "169.254.169.254"));
    assert_non_null(judge(&egress, "::ffff:169.254.169.254"));
}

static void allowed_networks_come_first(void **state)
{
    struct egress egress = { .allowed_count = 2 };

    (void)state;
    assert_int_equal(egress_network_parse("127.0.0.8/29", &egress.allowed[0]), 0);
    assert_int_equal(egress_network_parse("fe80::/64", &egress.allowed[1]), 0);
    assert_null(judge(&egress, "127.0.0.9"));
    assert_null(judge(&egress, "::ffff:127.0.0.15"));
    assert_non_null(judge(&egress, "127.0.0.16"));
    assert_non_null(judge(&egress, "127.0.0.1"));
    assert_null(judge(&egress, "fe80::77"));
    assert_non_null(judge(&egress, "fe80:1::77"));
}

static void refuses_other_families(void **state)
{
    const struct sockaddr_un local = { .sun_family = AF_UNIX, .sun_path = "/run/x" };
    const struct egress egress = { .loopback = true };

    (void)state;
    assert_non_null(egress_refusal(&egress, (const struct sockaddr *)&local));
}

static void refuses_what_is_no_network(void **state)
{
    static const char *const wrong[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0/8", "::/129", "example.org", "0x7f.1",
                                         "1.2.3.4.5", "10.0.0.0/ 8" };
    struct egress_network network;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(egress_network_parse(wrong[i], &network), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_lies_inside),     cmocka_unit_test(lets_others_pass),       cmocka_unit_test(loopback_is_a_switch_of_its_own),
        cmocka_unit_test(allowed_networks_come_first),  cmocka_unit_test(refuses_other_families), cmocka_unit_test(refuses_what_is_no_network),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
