"""What the dashboards show: for each its uid, its title, and rows of (kind, title, unit, queries, more).

`more` names the alert whose limit the panel shows: the `nth` number in its expressions, or what is `over` instead.

What every instance reads from Redis or MongoDB is the same figure several times: take the maximum.
"""


def rate(metric, by="", where=""):
    return f"sum by ({by}) (rate({metric}{where}[$__rate_interval]))" if by else f"sum(rate({metric}{where}[$__rate_interval]))"


def quantile(q, metric, by="", where=""):
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({group}) (rate({metric}_bucket{where}[$__rate_interval])))"


def quantiles(metric, where=""):
    return [(quantile(q, metric, where=where), f"p{round(q * 100)}") for q in (0.5, 0.9, 0.99)]


def process(job):
    """What each service says of itself, and its connections."""
    of = f'{{job="{job}"}}'
    return (
        "Process and connections",
        [
            ("graph", "CPU", "percentunit", [(f"rate(process_cpu_seconds_total{of}[$__rate_interval])", "{{instance}}")]),
            ("graph", "Memory", "bytes", [(f"process_resident_memory_bytes{of}", "{{instance}}")]),
            ("graph", "Open files", "percentunit", [(f"process_open_fds{of} / process_max_fds{of}", "{{instance}}")],
             {"alert": "EvpFileDescriptors"}),
            ("graph", "Workers that are busy", "percentunit",
             [(f"rate(evp_runtime_busy_seconds_total{of}[$__rate_interval]) / evp_runtime_workers{of}", "{{instance}}")]),
            ("graph", "Tasks that wait for a worker", "short", [(f"evp_runtime_queue_tasks{of}", "{{instance}}")]),
            ("graph", "Open connections", "short", [(f"sum by (listener) (evp_http_open_connections{of})", "{{listener}}")]),
            ("graph", "Connections closed", "cps", [(rate("evp_http_connections_closed_total", "listener, reason", of), "{{listener}} {{reason}}")]),
            ("graph", "Connections refused, or not accepted", "cps", [
                (rate("evp_http_connections_refused_total", "listener, reason", of), "{{listener}} {{reason}}"),
                (rate("evp_http_accept_errors_total", "listener", of), "{{listener}} not accepted")]),
            ("graph", "Tasks that panicked", "short", [(f"sum by (task) (increase(evp_task_panics_total{of}[$__rate_interval]))", "{{task}}")]),
        ],
    )


HOLDS = [(1, "holds", "green"), (0, "does not hold", "red")]
READY = [(1, "ready", "green"), (0, "not ready", "red")]


def ready(job):
    return f'min(evp_ready{{job="{job}",condition!="shutdown"}})'


ON_CALL = [
    ("Is it well?", [
        ("stat", "Alerts", "short", [('count(ALERTS{alertstate="firing",alertname=~"Evp.+"}) or vector(0)', "")],
         {"said": [(0, "none fires", "green")]}),
        ("stat", "Services", "short", [('count(up{job=~"evp-.+"} == 0 or absent(up{job="evp-ingest"}) or absent(up{job="evp-processor"})'
                                  ' or absent(up{job="evp-aggregator"})) or vector(0)', "")],
         {"said": [(0, "all answer", "green"), (1, "1 does not answer", "red")]}),
        ("stat", "Ingest", "short", [(ready("evp-ingest"), "")], {"said": READY}),
        ("stat", "Processors", "short", [(ready("evp-processor"), "")], {"said": READY}),
        ("stat", "Aggregator", "short", [(ready("evp-aggregator"), "")], {"said": READY}),
        ("stat", "Reading", "short", [("max(evp_processor_breaker_open)", "")],
         {"said": [(0, "goes on", "green"), (1, "pauses", "red")]}),
        ("stat", "Canary stored", "s", [("max(evp_aggregator_canary_age_seconds)", "")], {"alert": "EvpCanaryLate"}),
        ("stat", "Canaries missing", "short", [("max(evp_aggregator_canary_missing_events)", "")],
         {"alert": "EvpCanaryMissing", "said": [(0, "none", "green")]}),
        ("stat", "Oldest event waits", "s", [("evp:processor_delay_seconds:max", "")], {"alert": "EvpStorageBehind"}),
        ("stat", "Budget of failures burns", "none", [("evp:ingest_failed_requests:ratio_rate1h / 0.001", "")],
         {"alert": "EvpErrorBudgetBurns", "over": (">", 14.4)}),
        ("stat", "Redis' memory", "percentunit", [("max(evp_ingest_redis_memory_ratio)", "")], {"alert": "EvpRedisMemory"}),
        ("stat", "MongoDB's disk", "percentunit", [("max(evp_storage_disk_ratio)", "")], {"alert": "EvpDiskFills"}),
        ("words", "What the services need", "short", [("min by (job, condition) (evp_ready)", "{{job}}: {{condition}}")],
         {"said": HOLDS}),
    ]),
    ("Service level: 99.9 % of requests are answered with anything but 5xx", [
        ("graph", "Requests that fail: short ranges", "percentunit", [
            ("evp:ingest_failed_requests:ratio_rate5m", "5 minutes"), ("evp:ingest_failed_requests:ratio_rate1h", "1 hour")],
         {"alert": "EvpErrorBudgetBurns"}),
        ("graph", "Requests that fail: long ranges", "percentunit", [
            ("evp:ingest_failed_requests:ratio_rate30m", "30 minutes"), ("evp:ingest_failed_requests:ratio_rate6h", "6 hours")],
         {"alert": "EvpErrorBudgetBurns", "nth": 2}),
        ("graph", "Answers of ingest, p99", "s", [("evp:ingest_request_duration_seconds:p99_5m", "p99")]),
        ("graph", "Events taken and settled", "cps", [
            ("evp:ingest_accepted_events:rate5m", "accepted"), ("evp:processor_settled_events:rate2m", "settled")]),
        ("graph", "From taken to stored and counted, p99", "s", [
            ("evp:processor_stored_seconds:p99_5m", "stored"), ("evp:processor_counted_seconds:p99_5m", "counted")]),
        ("graph", "Backlog", "short", [("evp:processor_backlog_events:sum", "events")], {"alert": "EvpBacklogGrows"}),
    ]),
    ("What runs out slowly", [
        ("graph", "Dead letters", "short", [("max(evp_processor_dead_letter_events)", "events")], {"alert": "EvpDeadLettersNearlyFull"}),
        ("graph", "Spans are made until", "dateTimeFromNow", [("max(evp_processor_spans_until_seconds) * 1000", "made until")]),
        ("graph", "Days of the certificate", "d", [("min by (job) (evp_tls_certificate_days_left)", "{{job}}")],
         {"alert": "EvpCertificateEnds"}),
        ("graph", "Age of the last backup; 0 where EVP made none", "s",
         [("(time() - (max(evp_processor_backup_seconds) > 0)) or (0 * max(evp_processor_backup_seconds))", "age")],
         {"alert": "EvpBackupOld", "nth": 1}),
        ("graph", "Last reload of the configuration: 1 is taken", "short", [("min by (job) (evp_config_reload_success)", "{{job}}")],
         {"alert": "EvpReloadFailed", "over": ("<", 1)}),
        ("graph", "Versions", "short", [("count by (job, version, commit) (evp_build_info)", "{{job}} {{version}} {{commit}}")]),
    ]),
]

EVENTS = '{route="/events"}'

INGEST = [
    ("Requests", [
        ("graph", "Requests by status", "reqps", [(rate("evp_ingest_request_duration_seconds_count", "route, status_class"), "{{route}} {{status_class}}")]),
        ("graph", "Time to the answer", "s", quantiles("evp_ingest_request_duration_seconds", EVENTS)),
        ("graph", "Being answered", "short", [("sum(evp_ingest_in_flight_requests)", "requests")]),
        ("graph", "Bodies as received", "Bps", [(rate("evp_ingest_body_bytes_total"), "bytes")]),
        ("graph", "Refused for load", "reqps", [(rate("evp_ingest_shed_requests_total", "reason"), "{{reason}}")],
         {"alert": "EvpRequestsRefused"}),
        ("graph", "Over a rate or a quota", "reqps", [(rate("evp_ingest_limited_requests_total"), "429")]),
    ]),
    ("Events", [
        ("graph", "Events by what became of them", "cps", [(rate("evp_ingest_events_total", "outcome"), "{{outcome}}")]),
        ("graph", "Rejected events", "cps", [(rate("evp_ingest_rejected_events_total", "reason"), "{{reason}}")]),
        ("graph", "Events of a frame", "short", quantiles("evp_ingest_frame_events")),
    ]),
    ("Redis", [
        ("graph", "Time of an append, p99", "s", [(quantile(0.99, "evp_ingest_append_duration_seconds", "outcome"), "{{outcome}}")]),
        ("graph", "Attempts to append that failed", "cps", [(rate("evp_ingest_append_failures_total", "kind"), "{{kind}}")]),
        ("graph", "Backlog as admission sees it", "short", [("max(evp_ingest_backlog_events)", "events")], {"alert": "EvpBacklogGrows"}),
        ("graph", "Redis' memory", "percentunit", [("max(evp_ingest_redis_memory_ratio)", "used")], {"alert": "EvpRedisMemory"}),
        ("graph", "New lives, and frames appended again", "short", [
            ("sum(increase(evp_ingest_new_lives_total[$__rate_interval]))", "new lives"),
            ("sum(increase(evp_ingest_replayed_frames_total[$__rate_interval]))", "replayed")]),
        ("graph", "Events that may be lost", "short", [
            ("sum(increase(evp_ingest_events_possibly_lost_total[$__rate_interval]))", "in a new life, at most"),
            ("sum(increase(evp_ingest_backlog_lost_events_total[$__rate_interval]))", "with their stream")],
         {"alert": "EvpEventsLost"}),
        ("graph", "Age of what is known of keys", "s", [("evp_ingest_access_age_seconds", "{{instance}}")]),
        ("graph", "Certificates refused", "short", [("sum by (job) (increase(evp_tls_certificates_refused_total[10m]))", "{{job}}")],
         {"alert": "EvpCertificateRefused"}),
    ]),
    process("evp-ingest"),
]

PROCESSING = [
    ("Through the pipeline", [
        ("graph", "Events by what became of them, from Redis' totals", "cps",
         [("sum by (outcome) (max by (partition, outcome) (rate(evp_processor_pipeline_events_total[$__rate_interval])))", "{{outcome}}")]),
        ("graph", "Settled by each processor", "cps", [(rate("evp_processor_events_total", "instance, outcome"), "{{instance}} {{outcome}}")]),
        ("graph", "From taken to stored", "s", quantiles("evp_processor_stored_seconds")),
        ("graph", "From taken to counted", "s", quantiles("evp_processor_counted_seconds")),
        ("graph", "Oldest event that is not committed", "s", [("max by (partition) (evp_processor_delay_seconds)", "partition {{partition}}")],
         {"alert": "EvpStorageBehind"}),
    ]),
    ("Stream", [
        ("graph", "Backlog", "short", [("max by (partition) (evp_processor_backlog_events)", "partition {{partition}}")]),
        ("graph", "Bytes of the backlog", "bytes", [("max by (partition) (evp_processor_backlog_bytes)", "partition {{partition}}")]),
        ("graph", "Pending entries", "short", [("max by (partition) (evp_processor_pending_entries)", "partition {{partition}}")]),
        ("graph", "Oldest pending entry", "s", [("max by (partition) (evp_processor_oldest_pending_seconds)", "partition {{partition}}")],
         {"alert": "EvpPendingStuck"}),
        ("graph", "Entries taken over, and lost", "cps", [
            (rate("evp_processor_claimed_entries_total"), "taken over"),
            (rate("evp_processor_entries_lost_total"), "lost: must be 0"),
            (rate("evp_processor_backlog_lost_events_total"), "lost with their stream: must be 0")]),
    ]),
    ("Processors", [
        ("graph", "Events of a bulk", "short", quantiles("evp_processor_bulk_events")),
        ("graph", "Time of a bulk's stages, p99", "s", [(quantile(0.99, "evp_processor_bulk_duration_seconds", "stage"), "{{stage}}")]),
        ("graph", "Suspects", "cps", [(rate("evp_processor_suspects_total"), "events")]),
        ("graph", "Reading pauses", "short", [("evp_processor_breaker_open", "{{instance}}")]),
        ("graph", "Frames and bulks tried again", "cps", [
            (rate("evp_processor_store_failures_total"), "bulks without a usable answer"),
            (rate("evp_processor_unknown_frames_total"), "frames left pending")]),
        ("graph", "Counts added later", "short", [
            ("sum(increase(evp_processor_reconciled_events_total[$__rate_interval]))", "reconciled events"),
            ("sum(increase(evp_processor_left_to_verify_total[$__rate_interval]))", "frames left to verify"),
            ("sum(increase(evp_processor_sketches_lost_total[$__rate_interval]))", "sketches lost")]),
        ("graph", "Age of what is known of tenants", "s", [("evp_processor_access_age_seconds", "{{instance}}")]),
    ]),
    ("Dead letters", [
        ("graph", "New ones", "cps", [(rate("evp_processor_dead_letters_total", "reason"), "{{reason}}")], {"alert": "EvpDeadLetters"}),
        ("graph", "Kept", "short", [("max(evp_processor_dead_letter_events)", "events")], {"alert": "EvpDeadLettersNearlyFull"}),
        ("graph", "Their bytes", "bytes", [("max(evp_processor_dead_letter_bytes)", "bytes")],
         {"alert": "EvpDeadLettersNearlyFull", "nth": 1}),
        ("graph", "Purged with their span", "short", [("sum(increase(evp_processor_expired_letters_total[$__rate_interval]))", "letters")]),
    ]),
    ("MongoDB as EVP sees it", [
        ("graph", "Disk that is used", "percentunit", [("max(evp_storage_disk_ratio)", "used")], {"alert": "EvpDiskFills"}),
        ("graph", "Bytes of the database", "bytes", [("max(evp_storage_bytes)", "with indexes")]),
        ("graph", "Spans", "short", [("max by (state) (evp_processor_spans)", "{{state}}")]),
        ("graph", "Spans sealed and dropped", "short", [
            ("sum(increase(evp_processor_spans_sealed_total[$__rate_interval]))", "sealed"),
            ("sum(increase(evp_processor_spans_dropped_total[$__rate_interval]))", "dropped")]),
        ("graph", "What is not as it should be", "short", [
            ("max(evp_processor_spans_without_collection)", "spans without a collection"),
            ("max(evp_processor_collections_without_span)", "collections that are no span"),
            ("max(evp_processor_spans_gone)", "spans that should be dropped")],
         {"alert": "EvpSpanWithoutCollection"}),
        ("graph", "Indexes being built", "short", [("sum(evp_processor_building_indexes)", "processors")]),
        ("graph", "Where events end", "dateTimeAsIso", [
            ("max(evp_processor_floor_seconds) * 1000", "floor"), ("max(evp_processor_gone_seconds) * 1000", "gone")]),
    ]),
    process("evp-processor"),
]

QUERIES = [
    ("Requests", [
        ("graph", "Requests by route", "reqps", [(rate("evp_aggregator_request_duration_seconds_count", "route, status_class"), "{{route}} {{status_class}}")]),
        ("graph", "Time to the answer, p99", "s", [(quantile(0.99, "evp_aggregator_request_duration_seconds", "route"), "{{route}}")]),
        ("graph", "Reads of counters", "cps", [(rate("evp_aggregator_cache_requests_total", "result"), "{{result}}")]),
    ]),
    ("Live stream", [
        ("graph", "Clients", "short", [("sum(evp_aggregator_live_subscribers)", "clients")]),
        ("graph", "Events sent", "cps", [(rate("evp_aggregator_stream_events_total", "outcome"), "{{outcome}}")]),
        ("graph", "Clients that came back", "cps", [(rate("evp_aggregator_stream_resumes_total", "outcome"), "{{outcome}}")]),
    ]),
    ("People and keys", [
        ("graph", "Sign-ins", "cps", [(rate("evp_aggregator_sign_ins_total", "outcome"), "{{outcome}}")]),
        ("graph", "Codes by mail", "cps", [(rate("evp_aggregator_mails_total", "outcome"), "{{outcome}}")]),
        ("graph", "Age of what is known of keys", "s", [("evp_aggregator_access_age_seconds", "{{instance}}")]),
    ]),
    ("Canary, and what EVP tells people by itself", [
        ("graph", "Age of the newest that is stored", "s", [("max(evp_aggregator_canary_age_seconds)", "age")], {"alert": "EvpCanaryLate"}),
        ("graph", "Missing", "short", [("max(evp_aggregator_canary_missing_events)", "canaries")], {"alert": "EvpCanaryMissing"}),
        ("graph", "Notices", "cps", [(rate("evp_aggregator_notices_total", "channel, outcome"), "{{channel}} {{outcome}}")]),
    ]),
    process("evp-aggregator"),
]

BOARDS = [
    ("evp-on-call", "EVP: on call", ON_CALL),
    ("evp-ingest", "EVP: ingest", INGEST),
    ("evp-processing", "EVP: processing", PROCESSING),
    ("evp-queries", "EVP: queries", QUERIES),
]
