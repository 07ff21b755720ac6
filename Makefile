# SPDX-License-Identifier: GPL-2.0
# Builds the host program. Drivers and guest programs are built per kernel by the program itself.
#
#   make            build/cdevlab
#   make check      host unit tests, plain and under ASan/UBSan
#   make format     clang-format on everything
#   make install    PREFIX=/usr/local, DESTDIR=

PREFIX	?= /usr/local
DATADIR	?= $(PREFIX)/share/cdevlab
MANDIR	?= $(PREFIX)/share/man
O	?= build
CFLAGS	?= -O2 -g
WARN	:= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCDEVLAB_DATADIR='"$(DATADIR)"' -iquote lab
LIBS	:= -lhidapi-hidraw -larchive -ljansson -linih -lmd -ldw -lelf -lcapstone -liberty -lgsl -lgslcblas -lm
Q	:= $(if $(V),,@)

SOURCES	:= $(sort $(wildcard lab/*.c))
OBJECTS	:= $(SOURCES:%.c=$(O)/%.o)
TESTS	:= $(sort $(wildcard tests/unit/test_*.c))

all: $(O)/cdevlab

$(O)/cdevlab: $(OBJECTS)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(WARN) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A unit test is linked with everything but main(). What -MMD found of headers is a prerequisite as well, but no input.
$(O)/unit/%: tests/unit/%.c $(filter-out $(O)/lab/main.o,$(OBJECTS))
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(WARN) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $(filter %.c %.o,$^) $(LIBS) -lcmocka

# What must hold when things go wrong: runs the program itself.
$(O)/defences: tests/defences.c $(filter-out $(O)/lab/main.o,$(OBJECTS))
	$(Q)$(CC) -std=gnu11 $(WARN) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $(filter %.c %.o,$^) $(LIBS) -lcmocka

defences: $(O)/cdevlab $(O)/defences

unit: $(TESTS:tests/unit/%.c=$(O)/unit/%)

# What the lab itself costs: printed, asserted by nobody.
bench-lab: $(O)/bench-lab
$(O)/bench-lab: tests/bench-lab.c $(filter-out $(O)/lab/main.o,$(OBJECTS)) $(O)/cdevlab
	$(Q)$(CC) -std=gnu11 $(WARN) $(CPPFLAGS) $(CFLAGS) -o $@ $(filter-out $(O)/cdevlab,$^) $(LIBS)

asan:
	$(Q)$(MAKE) --no-print-directory O=$(O)/asan \
		CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" unit

check: unit asan
	@set -e; for t in $(O)/unit/test_* $(O)/asan/unit/test_*; do \
		case $$t in *.d) continue;; esac; echo "== $$t"; $$t; done

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

# Rooms without what was built in them.
DATA	= $(filter-out %.o %.ko %.mod %.mod.c %/Module.symvers %/modules.order %ctl %/bugs, \
	$(wildcard guest/*.[ch] arch/*.ini kernels/*.config checks/*.cocci drivers/*/* drivers/*/bugs/* peers/*/* \
	templates/*/* docs/*.json))

install: $(O)/cdevlab
	install -D -m 755 $(O)/cdevlab $(DESTDIR)$(PREFIX)/bin/cdevlab
	install -D -m 644 docs/cdevlab.1 $(DESTDIR)$(MANDIR)/man1/cdevlab.1
	for f in $(DATA); do \
		install -D -m 644 $$f $(DESTDIR)$(DATADIR)/$$f; done

clean:
	rm -rf $(O)

.PHONY: all unit asan defences bench-lab check format install clean
-include $(OBJECTS:.o=.d) $(wildcard $(O)/unit/*.d $(O)/defences.d)
