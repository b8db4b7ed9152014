# Proofs of mm/pmm and models of its protocol between CPUs; part of `make test` through tests/run.sh.
#   proof        run them all
#   proof-full   line_find_run for every length, and three CPUs with every first state: some minutes

PROOF_PYTEST := -m pytest -p no:cacheprovider -q -n $(shell nproc) --durations=5 tests/proof

proof: setup-test ## proofs of the frame allocator's bits, models of its lock-free protocol
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) $(PROOF_PYTEST)

proof-full: proof
	@$(PYTHON) -B tests/proof/line.py --full
	@rm -rf $(BUILD)/proof && mkdir -p $(BUILD)/proof && cd $(BUILD)/proof && \
	 spin -a -DCPUS=3 -DOPS=1 -DSORTED $(CURDIR)/tests/proof/frames.pml && \
	 gcc -O2 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=512 -DMEMLIM=8192 -o pan pan.c && \
	 ./pan -m400000 -w24 | grep 'errors: 0'

.PHONY: proof proof-full
