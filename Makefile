# Two commands matter: `make demo` and `make test`. Both install what they need first.
.POSIX:
.PHONY: install demo test bench corpus-check clean

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

clean:
	rm -rf $(VENV) build *.egg-info
