# Two commands matter: `make demo` and `make test`. Both install what they need first.
.POSIX:
.PHONY: install demo test test-user test-systems roots-check bench corpus-check sample real-check quilt-check export-check hosts-check test-ansible clean

VENV = .venv
INSTALLED = $(VENV)/.installed
TESTS = $(VENV)/.installed-tests

install: $(INSTALLED)

$(INSTALLED): pyproject.toml .ci/install
	.ci/install $(VENV)
	touch $@

$(TESTS): pyproject.toml .ci/install
	.ci/install $(VENV) test
	touch $@ $(INSTALLED)

demo: $(INSTALLED)
	$(VENV)/bin/python -m tests.demo

test: $(TESTS)
	$(VENV)/bin/python -m pytest -n auto -q $(TESTED)

# The tests that need no services, as an ordinary user with a 0700 home; for root.
test-user: $(TESTS)
	$(VENV)/bin/python -m tests.other_user -m pytest -n auto -q -p no:cacheprovider \
		tests/converter tests/specparse tests/packages tests/oracle

# The tests in Debian 12, Debian 13 and sid, in roots by debootstrap; for root. SHAPE=ci is a part of
# it; SYSTEMS="trixie sid", MINUTES=30 (begin no system later), CACHE=DIR.
test-systems:
	python3 -m tests.systems --shape "$${SHAPE:-all}" --minutes "$${MINUTES:-0}" \
		--cache "$${CACHE:-/var/cache/srcgit-systems}" $(SYSTEMS)

# Builds in the roots of other systems, held to this machine's: ROOTS="/var/cache/srcgit-systems/sid"
roots-check: $(TESTS)
	$(VENV)/bin/python -m tests.roots $(ROOTS)

bench: $(TESTS)
	$(VENV)/bin/python -m tests.bench

corpus-check: $(TESTS)
	$(VENV)/bin/python -m tests.oracle.corpus "$(CORPUS)"

sample: $(TESTS)
	$(VENV)/bin/python -m tests.specparse.sample "$(PKG_GIT)" --count $${COUNT:-1000}

real-check: $(TESTS)
	$(VENV)/bin/python -m tests.oracle.real "$(PKG_GIT)" "$(UPSTREAM)" $(COMMITS)

quilt-check: $(TESTS)
	$(VENV)/bin/python -m tests.oracle.quilt $(DSC)

export-check: $(TESTS)
	$(VENV)/bin/python -m tests.oracle.roundtrip "$(PKG_GIT)" "$(UPSTREAM)" $(TAGS)

# Three hosts and a network that fails, as root.
hosts-check: $(TESTS)
	$(VENV)/bin/python -m tests.service.hosts $(MESSAGES)

test-ansible: $(TESTS)
	$(VENV)/bin/python -m pytest -x -q tests/ansible/converge.py

clean:
	rm -rf $(VENV) build *.egg-info
