# The sample system: a store, a shop in front of it, a client whose reconnect rule has a closed form, a service that asks DNS.
programs += sample-store sample-shop sample-reconnector sample-names

sample-common := playbooks/sample/net.c playbooks/sample/options.c

srcs-sample-store := playbooks/sample/store.c playbooks/sample/table.c $(sample-common)

srcs-sample-shop := playbooks/sample/shop.c playbooks/sample/http.c playbooks/sample/queue.c playbooks/sample/fetch.c \
    playbooks/sample/store_client.c playbooks/sample/pool.c playbooks/sample/breaker.c playbooks/sample/retry.c \
    playbooks/sample/cache.c $(sample-common)

srcs-sample-reconnector := playbooks/sample/reconnector.c playbooks/sample/http.c $(sample-common)

srcs-sample-names := playbooks/sample/names.c playbooks/sample/http.c $(sample-common)
