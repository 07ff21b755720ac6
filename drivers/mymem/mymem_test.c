// SPDX-License-Identifier: GPL-2.0
/*
 * A user of mymem's in-kernel interface, with two experiments: how long a call takes, and what
 * becomes of a counter to which many kernel threads add, with and without exclusion. They run when
 * a line is written to a file in debugfs, in the writer's time: a signal ends them, and as long as
 * one runs the module is in use. Nothing is decided here, the results are tables to be read.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "mymem.h"
#include "mymem_kernel.h"
#include "mymem_test.h"

static_assert(sizeof(struct mymem_test_repeat) == 16);

static unsigned int w = MYMEM_TEST_W_DEFAULT;
module_param(w, uint, 0444);
MODULE_PARM_DESC(w, "Kernel threads of the race, 1 to 1000 (default 50)");

static unsigned int n = MYMEM_TEST_N_DEFAULT;
module_param(n, uint, 0444);
MODULE_PARM_DESC(n, "Additions of each thread, 1 to 1000000000 (default 150000)");

static unsigned int trials = MYMEM_TEST_TRIALS_DEFAULT;
module_param(trials, uint, 0444);
MODULE_PARM_DESC(trials, "Races of each kind, 1 to 100 (default 3)");

static unsigned int calls = MYMEM_TEST_CALLS_DEFAULT;
module_param(calls, uint, 0444);
MODULE_PARM_DESC(calls, "Calls that a mean time is taken of, 1 to 1000000 (default 1000)");

static unsigned int sizes[MYMEM_TEST_SIZES_MAX] = { 1, 64, 1024, 65536, 524288 };
static unsigned int n_sizes = 5;
module_param_array(sizes, uint, &n_sizes, 0444);
MODULE_PARM_DESC(sizes,
		 "Bytes of the timed calls, up to 16 sizes (default 1,64,1024,65536,524288)");

enum exclusion {
	EXCLUSION_NONE,
	EXCLUSION_MUTEX,
	EXCLUSION_FETCH_ADD,
	N_EXCLUSIONS
};

static const char *const exclusion_names[N_EXCLUSIONS] = {
	[EXCLUSION_NONE] = "none",
	[EXCLUSION_MUTEX] = "mutex",
	[EXCLUSION_FETCH_ADD] = "fetch_add",
};

/* One row of the table of times; @calls 0: the memory is smaller than that. */
struct time_row {
	unsigned int size, calls;
	u64 read_ns, write_ns; /* of all calls */
};

/* One trial of the table of the race. */
struct race_row {
	u64 counted; /* less what the counter started at */
	u64 ns;
};

struct time_table {
	unsigned int n;
	struct time_row rows[MYMEM_TEST_SIZES_MAX];
};

struct race_table {
	unsigned int w, n, trials; /* @w 0: there was none yet */
	struct race_row rows[N_EXCLUSIONS][MYMEM_TEST_TRIALS_MAX];
};

/**
 * struct race - one trial
 * @exclusion:	what is between the threads
 * @n:		additions of each
 * @lock:	for EXCLUSION_MUTEX
 * @go:		all threads are there
 * @done:	the last one has ended
 * @running:	how many have not
 * @stop:	they are to end now
 * @failed:	a call did not do what it should
 */
struct race {
	enum exclusion exclusion;
	unsigned int n;
	struct mutex lock;
	struct completion go, done;
	atomic_t running;
	bool stop, failed;
};

/* Held by an experiment. */
static DEFINE_MUTEX(busy);
/* Protects the two tables. */
static DEFINE_MUTEX(tables);
static struct time_table last_times;
static struct race_table last_races;

static struct dentry *dir;

/* The mean time of a call. */

/* How many calls are made before others get the CPU. */
static unsigned int calls_at_once(unsigned int size)
{
	return size < SZ_4K ? 64 : 1;
}

static int time_calls(void *buffer, struct time_row *row, bool write)
{
	const unsigned int at_once = calls_at_once(row->size);
	u64 start = 0;
	unsigned int i;
	ssize_t ret;

	/* The first one is not timed: it finds caches cold. */
	for (i = 0; i <= row->calls; i++) {
		if (i == 1)
			start = ktime_get_ns();
		ret = write ? mymem_write(0, buffer, row->size) : mymem_read(0, buffer, row->size);
		if (ret != row->size)
			return ret < 0 ? ret : -EIO;
		if (i % at_once)
			continue;
		cond_resched();
		if (signal_pending(current))
			return -EINTR;
	}
	start = ktime_get_ns() - start;
	if (write)
		row->write_ns = start;
	else
		row->read_ns = start;
	return 0;
}

static int run_time(unsigned int n_calls)
{
	struct time_table *table;
	struct time_row *row;
	unsigned int i;
	void *buffer;
	int ret = 0;

	table = kzalloc(sizeof(*table), GFP_KERNEL);
	if (!table)
		return -ENOMEM;
	for (i = 0; i < n_sizes && !ret; i++) {
		row = &table->rows[table->n++];
		row->size = sizes[i];
		if (row->size > mymem_size())
			continue;
		row->calls = n_calls;
		buffer = kvzalloc(row->size, GFP_KERNEL);
		if (!buffer) {
			ret = -ENOMEM;
			break;
		}
		ret = time_calls(buffer, row, false) ?: time_calls(buffer, row, true);
		kvfree(buffer);
	}
	if (!ret) {
		mutex_lock(&tables);
		last_times = *table;
		mutex_unlock(&tables);
	}
	kfree(table);
	return ret;
}

/* The race. */

static int add_one(void)
{
	ssize_t ret;
	u64 value;

	ret = mymem_read(0, &value, sizeof(value));
	if (ret != sizeof(value))
		return ret < 0 ? ret : -EIO;
	value++;
	ret = mymem_write(0, &value, sizeof(value));
	if (ret != sizeof(value))
		return ret < 0 ? ret : -EIO;
	return 0;
}

static int race_thread(void *arg)
{
	struct race *race = arg;
	unsigned int i;
	int ret = 0;

	wait_for_completion(&race->go);
	for (i = 0; i < race->n && !ret && !READ_ONCE(race->stop); i++) {
		switch (race->exclusion) {
		case EXCLUSION_MUTEX:
			mutex_lock(&race->lock);
			ret = add_one();
			mutex_unlock(&race->lock);
			break;
		case EXCLUSION_FETCH_ADD:
			ret = mymem_fetch_add(0, 1, NULL);
			break;
		default:
			ret = add_one();
			break;
		}
		cond_resched();
	}
	if (ret)
		WRITE_ONCE(race->failed, true);
	if (atomic_dec_and_test(&race->running))
		complete(&race->done);
	return ret;
}

/* Makes the threads and lets them go when they are all there. */
static int race_trial(struct race *race, struct task_struct **threads, unsigned int n_threads,
		      struct race_row *row)
{
	u64 value = MYMEM_TEST_START, start;
	unsigned int i;
	ssize_t done;
	int ret = 0;

	mutex_init(&race->lock);
	init_completion(&race->go);
	init_completion(&race->done);
	atomic_set(&race->running, n_threads);
	race->stop = false;
	race->failed = false;

	done = mymem_write(0, &value, sizeof(value));
	if (done != sizeof(value))
		return done < 0 ? done : -EIO;
	for (i = 0; i < n_threads; i++) {
		threads[i] = kthread_create(race_thread, race, "mymem_test/%u", i);
		if (IS_ERR(threads[i])) {
			ret = PTR_ERR(threads[i]);
			WRITE_ONCE(race->stop, true);
			break;
		}
		/* It may end on its own, before it is waited for. */
		get_task_struct(threads[i]);
		wake_up_process(threads[i]);
	}
	n_threads = i;
	start = ktime_get_ns();
	complete_all(&race->go);
	if (!ret && wait_for_completion_interruptible(&race->done)) {
		WRITE_ONCE(race->stop, true);
		ret = -EINTR;
	}
	row->ns = ktime_get_ns() - start;
	/* They have ended, or soon do so; not one is in our code when this is over. */
	for (i = 0; i < n_threads; i++) {
		kthread_stop(threads[i]);
		put_task_struct(threads[i]);
	}
	if (!ret && race->failed)
		ret = -EIO;
	if (!ret && mymem_read(0, &value, sizeof(value)) != sizeof(value))
		ret = -EIO;
	row->counted = value - MYMEM_TEST_START;
	return ret;
}

static int run_race(unsigned int n_threads, unsigned int n_adds, unsigned int n_trials)
{
	struct task_struct **threads;
	struct race_table *table;
	struct race *race;
	unsigned int kind, trial;
	int ret = 0;

	if (mymem_size() < sizeof(u64))
		return -ENOSPC;
	race = kzalloc(sizeof(*race), GFP_KERNEL);
	table = kzalloc(sizeof(*table), GFP_KERNEL);
	threads = kcalloc(n_threads, sizeof(*threads), GFP_KERNEL);
	if (!race || !table || !threads) {
		ret = -ENOMEM;
		goto out;
	}
	table->w = n_threads;
	table->n = n_adds;
	table->trials = n_trials;
	race->n = n_adds;
	for (kind = 0; kind < N_EXCLUSIONS; kind++) {
		race->exclusion = kind;
		for (trial = 0; trial < n_trials && !ret; trial++)
			ret = race_trial(race, threads, n_threads, &table->rows[kind][trial]);
	}
	if (!ret) {
		mutex_lock(&tables);
		last_races = *table;
		mutex_unlock(&tables);
	}
out:
	kfree(threads);
	kfree(table);
	kfree(race);
	return ret;
}

/* debugfs */

/* Up to @max numbers from 1 to their limit; those that are not there stay as they are. */
static bool parse_numbers(char *text, unsigned int *to[], const unsigned int *limit,
			  unsigned int max)
{
	unsigned int i = 0;
	char *word;

	while ((word = strsep(&text, " "))) {
		if (!*word)
			continue;
		if (i == max || kstrtouint(word, 10, to[i]) || !*to[i] || *to[i] > limit[i])
			return false;
		i++;
	}
	return true;
}

static ssize_t run_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	unsigned int n_calls = calls, n_threads = w, n_adds = n, n_trials = trials;
	unsigned int *time_to[] = { &n_calls }, *race_to[] = { &n_threads, &n_adds, &n_trials };
	const unsigned int time_limit[] = { MYMEM_TEST_CALLS_MAX };
	const unsigned int race_limit[] = { MYMEM_TEST_W_MAX, MYMEM_TEST_N_MAX,
					    MYMEM_TEST_TRIALS_MAX };
	char line[64], *rest, *word;
	bool time;
	int ret;

	if (!len)
		return 0;
	if (len >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, len))
		return -EFAULT;
	line[len] = '\0';
	rest = strim(line);
	word = strsep(&rest, " ");
	time = !strcmp(word, "time");
	if (!time && strcmp(word, "race"))
		return -EINVAL;
	if (time ? !parse_numbers(rest, time_to, time_limit, ARRAY_SIZE(time_limit)) :
		   !parse_numbers(rest, race_to, race_limit, ARRAY_SIZE(race_limit)))
		return -EINVAL;

	if (!mutex_trylock(&busy))
		return -EBUSY;
	ret = time ? run_time(n_calls) : run_race(n_threads, n_adds, n_trials);
	mutex_unlock(&busy);
	return ret ?: len;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = run_write,
	.llseek = noop_llseek,
};

/* Thousandths of what @total makes for each of @count. */
static void show_mean(struct seq_file *m, u64 total, u64 count)
{
	u64 mean = div64_u64(total * 1000, count);
	u32 rest;

	mean = div_u64_rem(mean, 1000, &rest);
	seq_printf(m, " %llu.%03u", mean, rest);
}

static int time_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	seq_puts(m, "# mean time of a call inside the kernel, in nanoseconds\n"
		    "# size calls read write\n");
	mutex_lock(&tables);
	if (!last_times.n)
		seq_puts(m, "# there was none yet: write \"time\" to the file \"run\"\n");
	for (i = 0; i < last_times.n; i++) {
		const struct time_row *row = &last_times.rows[i];

		seq_printf(m, "%u %u", row->size, row->calls);
		if (row->calls) {
			show_mean(m, row->read_ns, row->calls);
			show_mean(m, row->write_ns, row->calls);
			seq_putc(m, '\n');
		} else {
			seq_puts(m, " - - # the memory is smaller\n");
		}
	}
	mutex_unlock(&tables);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(time);

static int race_show(struct seq_file *m, void *unused)
{
	unsigned int kind, trial;
	u64 all;

	seq_puts(m, "# what W threads, adding 1 N times each, made of a 64-bit counter\n"
		    "# exclusion w n trial expected counted lost_percent ns_per_add\n");
	mutex_lock(&tables);
	if (!last_races.w)
		seq_puts(m, "# there was none yet: write \"race\" to the file \"run\"\n");
	all = (u64)last_races.w * last_races.n;
	for (kind = 0; last_races.w && kind < N_EXCLUSIONS; kind++) {
		for (trial = 0; trial < last_races.trials; trial++) {
			const struct race_row *row = &last_races.rows[kind][trial];
			u64 lost = row->counted < all ? all - row->counted : 0;

			seq_printf(m, "%s %u %u %u 0x%llx 0x%llx", exclusion_names[kind],
				   last_races.w, last_races.n, trial + 1, MYMEM_TEST_START + all,
				   MYMEM_TEST_START + row->counted);
			show_mean(m, lost * 100, all);
			show_mean(m, row->ns, all);
			seq_putc(m, '\n');
		}
	}
	mutex_unlock(&tables);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(race);

/* One call on demand, for a clock outside. */

static int call_open(struct inode *inode, struct file *file)
{
	file->private_data = kvzalloc(MYMEM_TEST_LENGTH_MAX, GFP_KERNEL_ACCOUNT);
	return file->private_data ? nonseekable_open(inode, file) : -ENOMEM;
}

static int call_release(struct inode *inode, struct file *file)
{
	kvfree(file->private_data);
	return 0;
}

static long call_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void *buffer = file->private_data;
	struct mymem_test_repeat call;
	long ret = 0;
	u32 i;

	if (cmd != MYMEM_TEST_REPEAT)
		return -ENOTTY;
	if (copy_from_user(&call, (void __user *)arg, sizeof(call)))
		return -EFAULT;
	if (call.operation > MYMEM_TEST_OP_NONE || call.length > MYMEM_TEST_LENGTH_MAX ||
	    call.repeat > MYMEM_TEST_REPEAT_MAX || call.reserved)
		return -EINVAL;
	if (call.operation >= MYMEM_TEST_OP_ADD && call.length)
		return -EINVAL;

	for (i = call.repeat; i;) {
		if (call.operation == MYMEM_TEST_OP_READ)
			ret = mymem_read(0, buffer, call.length);
		else if (call.operation == MYMEM_TEST_OP_WRITE)
			ret = mymem_write(0, buffer, call.length);
		else if (call.operation == MYMEM_TEST_OP_ADD)
			ret = mymem_fetch_add(0, 1, NULL);
		if (!--i || ret < 0)
			break;
		cond_resched();
		if (signal_pending(current))
			return -EINTR;
	}
	return ret;
}

static const struct file_operations call_fops = {
	.owner = THIS_MODULE,
	.open = call_open,
	.release = call_release,
	.unlocked_ioctl = call_ioctl,
};

/* Load and unload. */

static bool __init param_valid(const char *name, unsigned int value, unsigned int max)
{
	if (value && value <= max)
		return true;
	pr_err("%s %u: expected 1 to %u\n", name, value, max);
	return false;
}

static int __init mymem_test_init(void)
{
	unsigned int i;

	if (!param_valid("w", w, MYMEM_TEST_W_MAX) || !param_valid("n", n, MYMEM_TEST_N_MAX) ||
	    !param_valid("trials", trials, MYMEM_TEST_TRIALS_MAX) ||
	    !param_valid("calls", calls, MYMEM_TEST_CALLS_MAX))
		return -EINVAL;
	for (i = 0; i < n_sizes; i++) {
		if (!param_valid("sizes", sizes[i], MYMEM_SIZE_MAX))
			return -EINVAL;
	}

	/* Where there is no debugfs these fail, and then there is nothing to be used. */
	dir = debugfs_create_dir(MYMEM_TEST_DIR, NULL);
	if (IS_ERR(dir)) {
		pr_err("cannot make a directory in debugfs: %ld\n", PTR_ERR(dir));
		return PTR_ERR(dir);
	}
	debugfs_create_file(MYMEM_TEST_TIME, 0400, dir, NULL, &time_fops);
	debugfs_create_file(MYMEM_TEST_RACE, 0400, dir, NULL, &race_fops);
	debugfs_create_file(MYMEM_TEST_CALL, 0600, dir, NULL, &call_fops);
	debugfs_create_file(MYMEM_TEST_RUN, 0200, dir, NULL, &run_fops);
	pr_info("experiments on %zu bytes, in debugfs at %s\n", mymem_size(), MYMEM_TEST_DIR);
	return 0;
}

static void __exit mymem_test_exit(void)
{
	debugfs_remove_recursive(dir);
	pr_info("removed\n");
}

module_init(mymem_test_init);
module_exit(mymem_test_exit);

MODULE_DESCRIPTION("Experiments on the in-kernel interface of mymem");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
