# The sample system: a store, a shop in front of it, and a client whose reconnect rule has a closed form.
programs += sample-store sample-shop sample-reconnector

sample-common := playbooks/sample/net.c playbooks/sample/options.c

srcs-sample-store := playbooks/sample/store.c playbooks/sample/table.c $(sample-common)

srcs-sample-shop := playbooks/sample/shop.c playbooks/sample/http.c playbooks/sample/queue.c playbooks/sample/fetch.c \
    playbooks/sample/store_client.c playbooks/sample/pool.c playbooks/sample/breaker.c playbooks/sample/retry.c \
    playbooks/sample/cache.c $(sample-common)

srcs-sample-reconnector := playbooks/sample/reconnector.c playbooks/sample/http.c $(sample-common)
