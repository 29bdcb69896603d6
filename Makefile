# Two commands matter: `make demo` and `make test`. Both install what they need first.
.POSIX:
.PHONY: install demo test test-systems bench corpus-check sample real-check quilt-check export-check hosts-check test-ansible clean

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

# The tests in Debian 12, Debian 13 and sid, as root: roots by debootstrap (SHAPE=ci: a part of it).
test-systems:
	python3 -m tests.systems --shape $${SHAPE:-all} $(SYSTEMS)

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
