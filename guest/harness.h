/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tests that run inside the guest. A test's name is a sentence; each runs in a child of its own with
 * a time limit, between two marks in the kernel log; the program prints KTAP.
 *
 *	TEST(set_of_an_unchanged_value_raises_no_event)
 *	{
 *		int fd = SAFE(open(test_node(), O_RDWR));
 *
 *		EXPECT_ERR(ioctl(fd, VGPIO_SET, NULL), EFAULT);
 *	}
 *
 * EXPECT_* notes a failure and goes on, ASSERT_* ends the test, SKIP(reason) ends it as skipped.
 * main() is in harness.c: prog [--node PATH] [--filter TEXT] [--list]. A program with one of its own calls
 * harness_main() from it.
 */
#ifndef CDEVLAB_HARNESS_H
#define CDEVLAB_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

struct test_case {
	const char *name; /* underscores print as blanks */
	void (*run)(void);
	unsigned int timeout_s;
	const void *data; /* for a function that several cases have */
	struct test_case *next;
};

#define TEST_TIMEOUT_DEFAULT 30

int harness_main(int argc, char **argv);
void test_register(struct test_case *tc);
/* The node under test: --node, else $CDEVLAB_NODE. */
const char *test_node(void);
/* The module under test: $CDEVLAB_MODULE, or "" when run by hand. */
const char *test_module(void);

/* Of the running test's case. */
const void *test_data(void);

/* Notes a failure of the running test. Async-safe from threads of the test's process. */
void test_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A diagnostic line ("# ...") that belongs to the running test. */
void test_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Ends the running test's process: with what was noted, or as skipped. */
void test_end(void) __attribute__((noreturn));
void test_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Text of an errno's name ("EAGAIN"), for messages. */
const char *errno_name(int err);
/*
 * Modules of the room under test, by name. module_load() gives it "PARAM=VALUE ..."; both return 0 or
 * -errno. A test that reloads leaves the module as it found it: loaded with the parameters of driver.ini.
 */
int module_load(const char *module, const char *params);
int module_unload(const char *module);
bool module_loaded(const char *module);
int module_users(const char *module); /* -1: not loaded */
/* How many messages of the kernel log hold @text. */
unsigned int log_count(const char *text);

/* struct program_output - status: of exit, or -signal */
struct program_output {
	int status;
	char out[8192], err[2048];
};
/*
 * Runs a program of the guest's PATH, words of @fmt separated by one blank, with nothing on its standard
 * input. Where there is no such program the test is skipped.
 */
struct program_output program_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same as an ordinary user, also in group @uid and no other. */
struct program_output program_run_as(uid_t uid, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* program_run(), not waited for; its output goes to the descriptors. */
pid_t program_start(int out, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Monotonic milliseconds. */
long long now_ms(void);
void *shared_memory(size_t size);
/* Writes a mark to the kernel log: MARK_BEGIN or MARK_END of the test path. */
void mark_begin(const char *test);
void mark_end(const char *test);

#define TEST_WITH_TIMEOUT(id, seconds)                                       \
	static void test_##id(void);                                         \
	static struct test_case test_case_##id = { .name = #id,              \
						   .run = test_##id,         \
						   .timeout_s = (seconds) }; \
	static void __attribute__((constructor)) test_reg_##id(void)         \
	{                                                                    \
		test_register(&test_case_##id);                              \
	}                                                                    \
	static void test_##id(void)
#define TEST(id)  TEST_WITH_TIMEOUT(id, TEST_TIMEOUT_DEFAULT)
#define SKIP(...) test_skip(__VA_ARGS__)

#define TEST_OP(a, op, b, after)                                                                   \
	do {                                                                                       \
		long long a_ = (long long)(a), b_ = (long long)(b);                                \
		if (!(a_ op b_)) {                                                                 \
			test_fail(__FILE__, __LINE__, "%s is %lld, expected %s %lld (%s)", #a, a_, \
				  #op, b_, #b);                                                    \
			after;                                                                     \
		}                                                                                  \
	} while (0)
#define EXPECT_EQ(a, b) TEST_OP(a, ==, b, )
#define EXPECT_NE(a, b) TEST_OP(a, !=, b, )
#define EXPECT_GE(a, b) TEST_OP(a, >=, b, )
#define EXPECT_LE(a, b) TEST_OP(a, <=, b, )
#define ASSERT_EQ(a, b) TEST_OP(a, ==, b, test_end())
#define ASSERT_GE(a, b) TEST_OP(a, >=, b, test_end())
#define EXPECT_TRUE(c)                                                    \
	do {                                                              \
		if (!(c))                                                 \
			test_fail(__FILE__, __LINE__, "%s is false", #c); \
	} while (0)
#define ASSERT_TRUE(c)                                                    \
	do {                                                              \
		if (!(c)) {                                               \
			test_fail(__FILE__, __LINE__, "%s is false", #c); \
			test_end();                                       \
		}                                                         \
	} while (0)
/* The call returns -1 with that errno. */
#define EXPECT_ERR(call, err)                                                                    \
	do {                                                                                     \
		long long r_;                                                                    \
		errno = 0;                                                                       \
		r_ = (long long)(call);                                                          \
		if (r_ != -1 || errno != (err))                                                  \
			test_fail(__FILE__, __LINE__, "%s returned %lld (%s), expected -1 (%s)", \
				  #call, r_, r_ == -1 ? errno_name(errno) : "success",           \
				  errno_name(err));                                              \
	} while (0)
/* The call's value, or the end of the test when it is -1. */
#define SAFE(call)                                                                         \
	({                                                                                 \
		__typeof__(call) s_ = (call);                                              \
		if (s_ == (__typeof__(call))-1) {                                          \
			test_fail(__FILE__, __LINE__, "%s: %s", #call, errno_name(errno)); \
			test_end();                                                        \
		}                                                                          \
		s_;                                                                        \
	})

#endif
