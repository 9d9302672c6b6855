# make demo   a cluster of three machines on this computer, checked, and shown
# make test   lint, unit tests, whole clusters on lab machines
# make mutants  takes out decisions one by one and lists what no unit test notices; a quarter of an hour
# make test-long   what takes longer, on lab machines: restores, rotations, all three runtimes; PART=1 runs one part (1 to 5)
# make test-vagrant   the Vagrantfile, on emulated machines of libvirt; more than an hour
# make test-machines   on virtual machines with kernels of their own; PART=1 runs one part (0 to 5), each takes up to an hour
# Debian or Ubuntu with root, Python 3.11, git, make and Go is all they need; `make setup` installs the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

BIN := .venv/bin
INSTALLED := .venv/.installed
STAMP := .venv/.installed-dev
KPROV := $(BIN)/kprov
LAB := demo
ADDONS := storage monitoring logging cloud-aws
INVENTORY := inventory/lab.yaml
SCRIPTS := $(wildcard addons/*/*.sh kprov/*/*.sh kprov/*/*/*.sh templates/*/*.sh tests/e2e/*.sh)

# Debian's names: what builds components and runs a lab, and what tests need beside it.
DEMO_PACKAGES := debootstrap systemd-container iproute2 nftables openssh-client gcc libc6-dev libseccomp-dev pkg-config \
	python3-venv ca-certificates
MACHINE_PACKAGES := qemu-system-x86 qemu-utils e2fsprogs
LIBVIRT_PACKAGES := libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients dnsmasq-base iptables
TEST_PACKAGES := openssh-server sudo openssl curl wget shellcheck vagrant vagrant-libvirt chromium fonts-dejavu-core \
	softhsm2 opensc libengine-pkcs11-openssl

.PHONY: bench bench-cluster mutants demo demo-down demo-setup demo-packages test test-unit coverage test-e2e test-long test-machines machine-packages test-vagrant libvirt-packages lint types artifacts setup packages clean

demo: demo-setup
	@$(KPROV) artifacts fetch
	$(KPROV) lab up --name $(LAB) -o $(INVENTORY)
	$(KPROV) up $(INVENTORY) --yes
	$(KPROV) verify $(INVENTORY)
	$(KPROV) kubeconfig $(INVENTORY) -o inventory/.kprov/$(LAB)/admin.conf
	kubectl="$$($(KPROV) artifacts path kubectl) --kubeconfig inventory/.kprov/$(LAB)/admin.conf"
	$$kubectl get nodes,pods -A -o wide
	cat <<END

	The cluster is up. Go on:
	  use it        $$kubectl create deployment hello --image=registry.k8s.io/e2e-test-images/agnhost:2.53 -- /agnhost netexec
	  look at it    $(KPROV) status $(INVENTORY)
	  change it     edit $(INVENTORY), then: $(KPROV) plan $(INVENTORY); $(KPROV) up $(INVENTORY)
	  remove it     make demo-down
	END

demo-down: demo-setup
	@$(KPROV) lab down $(LAB)
	rm -rf $(INVENTORY) inventory/.kprov/$(LAB)

test:
	@part() { local begin=$$SECONDS; echo "== $$1"; $(MAKE) --no-print-directory $$1; echo "== $$1: $$((SECONDS - begin)) s"; }
	part setup
	part lint
	part coverage
	part artifacts
	part test-e2e

# In two halves side by side: the second one mostly waits for sshd.
define UNIT
halves() { # command…
	local failed= half
	log=$$(mktemp)
	trap 'rm -f "$$log"' EXIT
	"$$@" tests/roles tests/contract > "$$log" 2>&1 & half=$$!
	"$$@" tests/unit || failed=yes
	wait $$half || failed=yes
	cat "$$log"
	[ -z "$$failed" ]
}
endef

test-unit: setup
	@$(UNIT)
	halves $(BIN)/pytest -q

coverage: setup # of the same tests; counting lines takes a third of the time
	@$(UNIT)
	$(BIN)/coverage erase
	halves $(BIN)/coverage run -p -m pytest -q
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

test-e2e: setup artifacts
	@$(BIN)/pytest -q -m "lab and alone and not long" tests/e2e
	lanes=$$($(BIN)/python tests/e2e/lanes.py)
	$(BIN)/pytest -q -m "lab and not alone and not long" -n "$$lanes" --dist loadfile --no-loadscope-reorder tests/e2e

PART := *

# Compares what machines share, as those that are `alone` do: nothing else may use labs meanwhile.
test-long: setup
	@modules=$$($(BIN)/python tests/e2e/long_parts.py '$(PART)')
	$(BIN)/pytest -q -m long $$modules

# In modules of their own, one a part, on one cluster for those that run together. An emulated machine needs a processor:
# run no other labs meanwhile.
test-machines: setup machine-packages artifacts
	@$(BIN)/pytest -q -m machines tests/e2e/machines/test_part$(PART)_*.py

test-vagrant: setup machine-packages libvirt-packages artifacts
	@$(BIN)/pytest -q -m machines tests/e2e/machines/test_vagrant_machines.py

lint: setup types
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	for script in $(SCRIPTS); do shellcheck -S warning -s sh "$$script"; dash -n "$$script"; done
	$(BIN)/python -m kprov.apply.scripts apply.sh > .typing/apply.sh # parts are one program only when they are joined
	$(BIN)/python -m kprov.observe.scripts > .typing/probe.sh
	shellcheck -S warning -s sh .typing/apply.sh .typing/probe.sh
	for script in .typing/apply.sh .typing/probe.sh; do dash -n "$$script"; done

# mypy follows folders, and not the package map of setup.cfg: it gets a tree of links that looks like what is installed.
types: setup
	@rm -rf .typing/kprov
	mkdir -p .typing/kprov
	for path in kprov/*; do ln -s "../../$$path" .typing/kprov/; done
	ln -s ../../addons ../../roles ../../templates ../../tests/testinfra .typing/kprov/
	cd .typing
	../$(BIN)/mypy --config-file ../setup.cfg -p kprov
	(cd ../templates/policies; MYPYPATH=. ../../$(BIN)/mypy --config-file ../../setup.cfg --explicit-package-bases *.py)
	MYPYPATH=. ../$(BIN)/mypy --config-file ../setup.cfg ../benchmarks

# The versions before the default ones too: tests upgrade from them.
artifacts: setup
	@$(KPROV) artifacts fetch --images image-agnhost $(ADDONS:%=--addon %)
	$(KPROV) artifacts fetch --kubernetes 1.36 --addon metrics-server=0.8.0

demo-setup: demo-packages $(INSTALLED)

setup: packages $(STAMP)

define INSTALL
install() { # names of packages
	missing=$$(for name in "$$@"; do dpkg -s "$$name" > /dev/null 2>&1 || echo "$$name"; done)
	[ -n "$$missing" ] || return 0
	echo "installing" $$missing
	[ "$$(id -u)" = 0 ] || { echo "this needs root: sudo make setup" >&2; exit 1; }
	# Services that come with a package are not started: they are for tests, which run their own.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update
	apt-get -q install -y --no-install-recommends $$missing
}
endef

demo-packages:
	@$(INSTALL)
	install $(DEMO_PACKAGES)

packages:
	@$(INSTALL)
	install $(DEMO_PACKAGES) $(TEST_PACKAGES)

machine-packages:
	@$(INSTALL)
	install $(MACHINE_PACKAGES)

libvirt-packages:
	@$(INSTALL)
	install $(LIBVIRT_PACKAGES)

$(INSTALLED): setup.cfg pyproject.toml
	@[ -x $(BIN)/python ] || python3 -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -e .
	touch $@

$(STAMP): setup.cfg pyproject.toml
	@[ -x $(BIN)/python ] || python3 -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	touch $@ $(INSTALLED)

bench-cluster: setup
	@$(BIN)/python benchmarks/bench_cluster.py

mutants: setup # decisions that no test notices; a quarter of an hour
	@$(BIN)/python tests/mutants

bench: setup
	@$(BIN)/python benchmarks/bench_up.py
	$(BIN)/python benchmarks/bench_plan.py --gate

clean:
	@rm -rf .venv .typing .coverage .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
