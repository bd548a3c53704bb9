-- Invariants. Every row that the view returns is a defect. A full check: about 12 s at 100,000 jobs, so for tests and
-- nightly runs; in production compute the gauge over the jobs that changed since the last pass.
SET LOCAL search_path = matte;

CREATE VIEW violation AS
  SELECT 'account <> sum of entries' AS what, a.tenant_id::text AS which
    FROM credit_account a
    LEFT JOIN (SELECT tenant_id, sum(d_available) AS x, sum(d_held) AS y, sum(d_spent) AS z
                 FROM (SELECT tenant_id, d_available, d_held, d_spent FROM credit_entry
                       UNION ALL SELECT tenant_id, -spent, 0, spent FROM usage_day) s GROUP BY 1) e USING (tenant_id)
   WHERE (a.available, a.held, a.spent) IS DISTINCT FROM (coalesce(x, 0), coalesce(y, 0), coalesce(z, 0))
UNION ALL
  SELECT 'held <> open holds', a.tenant_id::text FROM credit_account a
   WHERE held <> (SELECT coalesce(sum(held_mc), 0) FROM job j
                   WHERE j.tenant_id = a.tenant_id AND billing_status = 'held')
UNION ALL
  SELECT 'spent <> charged', a.tenant_id::text FROM credit_account a
   WHERE spent <> (SELECT coalesce(sum(charged_mc), 0) FROM job j WHERE j.tenant_id = a.tenant_id)
                + (SELECT coalesce(sum(spent), 0) FROM usage_day u WHERE u.tenant_id = a.tenant_id)
UNION ALL
  SELECT 'slot counters', s.tenant_id::text
    FROM tenant_slot s,
         LATERAL (SELECT count(*) FILTER (WHERE status = 'pending') AS q,
                         count(*) FILTER (WHERE status = 'processing') AS p
                    FROM job j WHERE j.tenant_id = s.tenant_id) n
   WHERE (s.pending, s.processing) IS DISTINCT FROM (n.q, n.p)
UNION ALL
  SELECT 'more than one end in a run', job_id::text FROM job_transition
   WHERE to_status IN ('completed', 'failed', 'cancelled') GROUP BY job_id, run_no HAVING count(*) > 1
UNION ALL
  SELECT 'status <> last transition', j.id::text
    FROM job j JOIN LATERAL (SELECT to_status FROM job_transition t WHERE t.job_id = j.id
                              ORDER BY seq DESC LIMIT 1) l ON true
   WHERE l.to_status <> j.status
UNION ALL
  SELECT 'broken chain', job_id::text
    FROM (SELECT job_id, from_status, lag(to_status) OVER (PARTITION BY job_id ORDER BY seq) AS before
            FROM job_transition) x
   WHERE from_status IS DISTINCT FROM before
UNION ALL
  SELECT 'a run neither charged nor released', h.job_id::text
    FROM credit_entry h JOIN job j ON j.id = h.job_id
   WHERE h.kind = 'hold' AND (h.run_no < j.run_no OR j.finished_at IS NOT NULL)
     AND (SELECT coalesce(sum(e.d_held), 0) FROM credit_entry e WHERE e.job_id = h.job_id AND e.run_no = h.run_no) <> 0
UNION ALL
  SELECT 'no terminal webhook', j.id::text FROM job j
   WHERE webhook_url IS NOT NULL AND finished_at IS NOT NULL
     AND NOT EXISTS (SELECT 1 FROM webhook_delivery w
                      WHERE w.job_id = j.id AND w.run_no = j.run_no AND w.event = 'job.' || j.status)
UNION ALL
  SELECT 'a delivery that nothing will wake', d.id::text
    FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id
   WHERE d.state = 'pending'
     AND (e.wake_at IS NULL
          OR (d.next_attempt_at IS NULL
              AND NOT EXISTS (SELECT 1 FROM webhook_delivery b WHERE b.job_id = d.job_id
                                 AND b.endpoint_id = d.endpoint_id AND b.state = 'pending' AND b.seq < d.seq)));
