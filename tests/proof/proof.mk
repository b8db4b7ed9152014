# Proofs of mm/pmm, and models of what CPUs do to each other there and in mm/paging; part of `make test` through
# tests/run.sh.
#   proof        run them all
#   proof-full   line_find_run for every length, and three CPUs with every first state: some minutes

PROOF_PYTEST := -m pytest -p no:cacheprovider -q -n $(shell nproc) --durations=5 tests/proof

proof: setup-test ## proofs of the frame allocator's bits, models of lock-free protocols
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) $(PROOF_PYTEST)

proof-full: proof
	@$(PYTHON) -B tests/proof/line.py --full
	$(call proof-model,frames,-DCPUS=3 -DOPS=1 -DSORTED)
	$(call proof-model,paging,-DCPUS=3 -DOPS=1)
	$(call proof-model,paging,-DOPS=1 -DLOOKS=1 -DLARGE)

define proof-model
@rm -rf $(BUILD)/proof && mkdir -p $(BUILD)/proof && cd $(BUILD)/proof && \
 spin -a $(2) $(CURDIR)/tests/proof/$(1).pml && \
 gcc -O2 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=512 -DMEMLIM=8192 -o pan pan.c && \
 ./pan -m400000 -w24 | grep 'errors: 0'
endef

.PHONY: proof proof-full
