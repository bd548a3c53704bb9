
/*
 * API keys in shared memory: SHA-256 -> tenant, limits, token buckets.  One
 * lock and one lookup give both authentication and the rate limit.  Nodes are
 * plain data of one size, and nothing is logged while the zone is locked.
 */


#include "ngx_http_matte.h"


typedef struct {
    ngx_msec_t                    last;
    int64_t                       excess;    /* 1/1000 of a request */
} ngx_http_matte_level_t;


typedef struct {
    ngx_rbtree_node_t             node;      /* key: the hash's first bytes */
    ngx_queue_t                   lru;
    u_char                        hash[NGX_HTTP_MATTE_HASH_LEN];
    ngx_http_matte_key_t          key;
    ngx_msec_t                    expires;
    ngx_msec_t                    asked;     /* the database */
    ngx_msec_t                    changed;   /* told by it, 0: never */
    ngx_http_matte_level_t        requests;
    ngx_http_matte_level_t        starts;
    ngx_uint_t                    wrong;     /* unknown to the database */
} ngx_http_matte_keys_node_t;


typedef struct {
    ngx_rbtree_t                  rbtree;
    ngx_rbtree_node_t             sentinel;
    ngx_queue_t                   lru;
    ngx_msec_t                    changed;   /* all of them */
} ngx_http_matte_keys_sh_t;


typedef struct {
    ngx_http_matte_keys_sh_t     *sh;
    ngx_slab_pool_t              *shpool;
} ngx_http_matte_keys_t;


static void ngx_http_matte_keys_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static ngx_http_matte_keys_node_t *ngx_http_matte_keys_find(
    ngx_http_matte_keys_t *keys, u_char *hash);
static ngx_http_matte_keys_node_t *ngx_http_matte_keys_add(
    ngx_http_matte_keys_t *keys, u_char *hash);
static ngx_uint_t ngx_http_matte_keys_outdated(ngx_http_matte_keys_t *keys,
    ngx_http_matte_keys_node_t *n);
static ngx_int_t ngx_http_matte_keys_charge(ngx_http_matte_level_t *level,
    uint32_t per_minute, uint32_t burst, ngx_http_matte_bucket_t *bucket);
static ngx_int_t ngx_http_matte_keys_init(ngx_shm_zone_t *zone, void *data);


ngx_int_t
ngx_http_matte_keys_get(ngx_shm_zone_t *zone, u_char *hash,
    ngx_http_matte_key_t *key, ngx_http_matte_bucket_t *bucket,
    ngx_uint_t *charged)
{
    ngx_int_t                    rc;
    ngx_uint_t                   fresh;
    ngx_http_matte_keys_t       *keys = zone->data;
    ngx_http_matte_keys_node_t  *n;

    rc = NGX_DECLINED;
    *charged = 0;

    ngx_shmtx_lock(&keys->shpool->mutex);

    n = ngx_http_matte_keys_find(keys, hash);

    if (n == NULL) {
        goto done;
    }

    fresh = (ngx_msec_int_t) (n->expires - ngx_current_msec) > 0
            && !ngx_http_matte_keys_outdated(keys, n);

    if (n->wrong) {
        rc = fresh ? NGX_ABORT : NGX_DECLINED;
        goto done;
    }

    ngx_queue_remove(&n->lru);
    ngx_queue_insert_head(&keys->sh->lru, &n->lru);

    /* also of a key that has to be verified again: a flood stops here */

    *key = n->key;
    *charged = 1;

    if (ngx_http_matte_keys_charge(&n->requests, n->key.rate, n->key.burst,
                                   bucket)
        == NGX_BUSY)
    {
        rc = NGX_BUSY;

    } else if (fresh) {
        rc = NGX_OK;
    }

done:

    ngx_shmtx_unlock(&keys->shpool->mutex);

    return rc;
}


ngx_int_t
ngx_http_matte_keys_put(ngx_shm_zone_t *zone, u_char *hash,
    ngx_http_matte_key_t *key, ngx_msec_t asked, ngx_msec_t ttl,
    ngx_http_matte_bucket_t *bucket, ngx_uint_t charge)
{
    ngx_int_t                    rc;
    ngx_http_matte_keys_t       *keys = zone->data;
    ngx_http_matte_keys_node_t  *n;

    rc = NGX_OK;

    ngx_shmtx_lock(&keys->shpool->mutex);

    n = ngx_http_matte_keys_find(keys, hash);

    if (n == NULL) {
        n = ngx_http_matte_keys_add(keys, hash);
    }

    if (n) {
        n->asked = asked;
        n->expires = ngx_current_msec + ttl;
        n->wrong = (key == NULL);

        ngx_queue_remove(&n->lru);

        if (key == NULL) {

            /* who guesses keys drives out guesses, not keys */

            ngx_queue_insert_tail(&keys->sh->lru, &n->lru);

        } else {
            ngx_queue_insert_head(&keys->sh->lru, &n->lru);

            n->key = *key;              /* the bucket outlives a refresh */

            if (charge) {
                rc = ngx_http_matte_keys_charge(&n->requests, key->rate,
                                                key->burst, bucket);
            }
        }
    }

    ngx_shmtx_unlock(&keys->shpool->mutex);

    return rc;
}


ngx_int_t
ngx_http_matte_keys_start(ngx_shm_zone_t *zone, u_char *hash,
    ngx_http_matte_bucket_t *bucket)
{
    ngx_int_t                    rc;
    ngx_http_matte_keys_t       *keys = zone->data;
    ngx_http_matte_keys_node_t  *n;

    rc = NGX_DECLINED;

    ngx_shmtx_lock(&keys->shpool->mutex);

    n = ngx_http_matte_keys_find(keys, hash);

    if (n && !n->wrong && n->key.starts) {
        rc = ngx_http_matte_keys_charge(&n->starts, n->key.starts,
                                        n->key.starts_burst, bucket);
    }

    ngx_shmtx_unlock(&keys->shpool->mutex);

    return rc;
}


/*
 * Nodes stay, for their buckets, and to tell an answer that the database gave
 * before the change from one that it gave after it.
 */

void
ngx_http_matte_keys_forget(ngx_shm_zone_t *zone, u_char *hash)
{
    ngx_http_matte_keys_t       *keys = zone->data;
    ngx_http_matte_keys_node_t  *n;

    ngx_shmtx_lock(&keys->shpool->mutex);

    if (hash == NULL) {
        keys->sh->changed = ngx_current_msec;

    } else {
        n = ngx_http_matte_keys_find(keys, hash);

        if (n == NULL) {
            n = ngx_http_matte_keys_add(keys, hash);

            if (n) {
                n->wrong = 1;           /* and expired */
            }
        }

        if (n) {
            n->changed = ngx_current_msec;
        }
    }

    ngx_shmtx_unlock(&keys->shpool->mutex);
}


static ngx_int_t
ngx_http_matte_keys_charge(ngx_http_matte_level_t *level, uint32_t per_minute,
    uint32_t burst, ngx_http_matte_bucket_t *bucket)
{
    int64_t         rate, size, excess, over;
    ngx_msec_int_t  ms;

    ms = (ngx_msec_int_t) (ngx_current_msec - level->last);

    if (ms < 0) {
        ms = 0;                         /* another worker's clock */
    }

    rate = ngx_max((int64_t) per_minute * 1000 / 60, 1);    /* a second */
    size = (int64_t) burst * 1000;

    bucket->size = burst;
    bucket->window = (size + rate - 1) / rate;

    excess = level->excess;

    if (excess) {
        excess = ngx_max(excess - rate * ngx_min(ms, 86400000) / 1000, 0);
    }

    over = excess + 1000 - size;

    if (over > 0) {
        bucket->remaining = 0;
        bucket->reset = excess * 1000 / rate;
        bucket->wait = over * 1000 / rate + 1;
        return NGX_BUSY;
    }

    excess += 1000;

    level->excess = excess;
    level->last = ngx_current_msec;

    bucket->remaining = (size - excess) / 1000;
    bucket->reset = excess * 1000 / rate;

    return NGX_OK;
}


static ngx_http_matte_keys_node_t *
ngx_http_matte_keys_find(ngx_http_matte_keys_t *keys, u_char *hash)
{
    ngx_int_t                    rc;
    ngx_rbtree_key_t             key;
    ngx_rbtree_node_t           *node, *sentinel;
    ngx_http_matte_keys_node_t  *n;

    ngx_memcpy(&key, hash, sizeof(ngx_rbtree_key_t));

    node = keys->sh->rbtree.root;
    sentinel = keys->sh->rbtree.sentinel;

    while (node != sentinel) {

        if (key != node->key) {
            node = (key < node->key) ? node->left : node->right;
            continue;
        }

        n = (ngx_http_matte_keys_node_t *) node;

        rc = ngx_memcmp(hash, n->hash, NGX_HTTP_MATTE_HASH_LEN);

        if (rc == 0) {
            return n;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}


/* something has changed since the database was asked */

static ngx_uint_t
ngx_http_matte_keys_outdated(ngx_http_matte_keys_t *keys,
    ngx_http_matte_keys_node_t *n)
{
    return (n->changed && (ngx_msec_int_t) (n->changed - n->asked) >= 0)
           || (keys->sh->changed
               && (ngx_msec_int_t) (keys->sh->changed - n->asked) >= 0);
}


/* in place of the longest unused ones if the zone is full */

static ngx_http_matte_keys_node_t *
ngx_http_matte_keys_add(ngx_http_matte_keys_t *keys, u_char *hash)
{
    ngx_queue_t                 *q;
    ngx_http_matte_keys_node_t  *n, *old;

    for ( ;; ) {
        n = ngx_slab_calloc_locked(keys->shpool, sizeof(*n));

        if (n) {
            break;
        }

        if (ngx_queue_empty(&keys->sh->lru)) {
            return NULL;
        }

        q = ngx_queue_last(&keys->sh->lru);
        old = ngx_queue_data(q, ngx_http_matte_keys_node_t, lru);

        ngx_queue_remove(q);
        ngx_rbtree_delete(&keys->sh->rbtree, &old->node);
        ngx_slab_free_locked(keys->shpool, old);
    }

    ngx_memcpy(&n->node.key, hash, sizeof(ngx_rbtree_key_t));
    ngx_memcpy(n->hash, hash, NGX_HTTP_MATTE_HASH_LEN);
    n->requests.last = ngx_current_msec;
    n->starts.last = ngx_current_msec;

    ngx_rbtree_insert(&keys->sh->rbtree, &n->node);
    ngx_queue_insert_head(&keys->sh->lru, &n->lru);

    return n;
}


static void
ngx_http_matte_keys_insert(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t           **p;
    ngx_http_matte_keys_node_t   *n, *t;

    for ( ;; ) {

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            n = (ngx_http_matte_keys_node_t *) node;
            t = (ngx_http_matte_keys_node_t *) temp;

            p = ngx_memcmp(n->hash, t->hash, NGX_HTTP_MATTE_HASH_LEN) < 0
                ? &temp->left : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


ngx_shm_zone_t *
ngx_http_matte_keys_zone(ngx_conf_t *cf, ngx_str_t *name, size_t size)
{
    ngx_shm_zone_t         *zone;
    ngx_http_matte_keys_t  *keys;

    keys = ngx_pcalloc(cf->pool, sizeof(ngx_http_matte_keys_t));
    if (keys == NULL) {
        return NULL;
    }

    zone = ngx_shared_memory_add(cf, name, size, &ngx_http_matte_module);
    if (zone == NULL) {
        return NULL;
    }

    zone->init = ngx_http_matte_keys_init;
    zone->data = keys;

    return zone;
}


static ngx_int_t
ngx_http_matte_keys_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_matte_keys_t  *old = data;

    ngx_http_matte_keys_t  *keys;

    keys = zone->data;

    if (old) {
        keys->sh = old->sh;
        keys->shpool = old->shpool;
        return NGX_OK;
    }

    keys->shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        keys->sh = keys->shpool->data;
        return NGX_OK;
    }

    keys->sh = ngx_slab_alloc(keys->shpool, sizeof(ngx_http_matte_keys_sh_t));
    if (keys->sh == NULL) {
        return NGX_ERROR;
    }

    keys->shpool->data = keys->sh;
    keys->shpool->log_nomem = 0;

    ngx_rbtree_init(&keys->sh->rbtree, &keys->sh->sentinel,
                    ngx_http_matte_keys_insert);

    ngx_queue_init(&keys->sh->lru);
    keys->sh->changed = 0;

    return NGX_OK;
}
