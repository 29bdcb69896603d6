# Two commands matter: `make demo` and `make test`. Both install what they need first.
.POSIX:
.PHONY: install demo test bench corpus-check sample real-check test-ansible clean

VENV = .venv
STAMP = $(VENV)/.installed

install: $(STAMP)

$(STAMP): pyproject.toml .ci/install
	.ci/install $(VENV)
	touch $@

demo: $(STAMP)
	$(VENV)/bin/python -m tests.demo

test: $(STAMP)
	$(VENV)/bin/python -m pytest -n auto -q

bench: $(STAMP)
	$(VENV)/bin/python -m tests.bench

corpus-check: $(STAMP)
	$(VENV)/bin/python -m tests.oracle.corpus "$(CORPUS)"

sample: $(STAMP)
	$(VENV)/bin/python -m tests.specparse.sample "$(PKG_GIT)" --count $${COUNT:-1000}

real-check: $(STAMP)
	$(VENV)/bin/python -m tests.oracle.real "$(PKG_GIT)" "$(UPSTREAM)" $(COMMITS)

test-ansible: $(STAMP)
	$(VENV)/bin/python -m pytest -x -q tests/ansible/converge.py

clean:
	rm -rf $(VENV) build *.egg-info
