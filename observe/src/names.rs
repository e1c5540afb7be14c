//! The names of all metrics with their help texts, in one place. Prometheus conventions: base units (seconds, bytes),
//! `_total` on counters.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows (until the process starts again).
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

/// One metric family.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says, one line.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $help:literal;)+) => {
        $(#[doc = $help] pub const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, help: $help };)+
        /// All families.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    BUILD = Gauge "tentpole_build_info" "Always 1; the label says which version runs.";
    UPTIME = Gauge "tentpole_uptime_seconds" "Seconds since the process started.";
    REQUESTS = Counter "tentpole_requests_total" "Finished requests by what the cache did.";
    RESPONSES = Counter "tentpole_responses_total" "Finished requests by status sent; class none when nothing was.";
    BYPASSES = Counter "tentpole_cache_bypass_total" "Requests that the cache did not share, by reason.";
    FRAGMENTS = Counter "tentpole_fragments_total" "Fragments that pages were put together of.";
    FRAGMENTS_FAILED = Counter "tentpole_fragments_failed_total" "Fragments that were left out of their pages.";
    ASSEMBLY_FAULTS = Counter "tentpole_assembly_faults_total" "Pages that were sent without a fragment or as they came, by the first reason.";
    REFUSED = Counter "tentpole_refused_total" "Requests and connections that the edge itself refused, by reason.";
    LADDER = Counter "tentpole_ladder_requests_total" "Requests by how far down the ladder they went and by their rank; what the cache served fresh has none.";
    LADDER_WAIT = Counter "tentpole_ladder_wait_seconds_total" "Time that requests waited in queues, by their rank.";
    FAILURES = Counter "tentpole_failures_total" "Requests that broke, by whose fault and during what.";
    ATTEMPTS = Counter "tentpole_attempts_total" "Attempts at endpoints, on new or kept connections.";
    ATTEMPTS_FAILED = Counter "tentpole_attempts_failed_total" "Attempts at endpoints that failed, by phase.";
    ATTEMPT_CAUSES = Counter "tentpole_attempt_failure_causes_total" "Attempts at endpoints that failed, by cause.";
    RETRIES = Counter "tentpole_retries_total" "Attempts at endpoints after the first of a request.";
    NOT_AGAIN = Counter "tentpole_retries_refused_total" "Requests that were not sent once more although their attempt asked for it, by reason.";
    DETOURS = Counter "tentpole_detours_total" "Attempts that went to another endpoint than the pool's zones or the visitor's cookie would have it, by reason.";
    HEDGES = Counter "tentpole_hedges_total" "Second copies of requests whose first attempt was slow.";
    HEDGES_WON = Counter "tentpole_hedges_won_total" "Second copies that were answered before the first.";
    RECEIVED = Counter "tentpole_received_bytes_total" "Bytes of request bodies.";
    SENT = Counter "tentpole_sent_bytes_total" "Bytes sent to visitors, heads included.";
    CONNECTIONS = Counter "tentpole_connections_accepted_total" "Connections accepted from visitors.";
    CONNECTIONS_OPEN = Gauge "tentpole_connections_open" "Open connections of visitors.";
    CONNECTIONS_REFUSED = Counter "tentpole_connections_refused_total" "Connections refused before a request was read.";
    HANDSHAKES = Counter "tentpole_tls_handshakes_total" "TLS handshakes with visitors, by version and whether an earlier session went on.";
    HANDSHAKE_FAULTS = Counter "tentpole_tls_handshake_failures_total" "TLS handshakes with visitors that failed, by reason.";
    CERTIFICATE_ENDS = Gauge "tentpole_tls_certificate_expires_timestamp_seconds" "When a certificate in use expires, in seconds since 1970, by its first host and its file.";
    VERSIONS = Counter "tentpole_requests_by_version_total" "Finished requests, by the version of HTTP that the visitor spoke.";
    KEEPALIVE = Counter "tentpole_keepalive_reuses_total" "Requests on connections that had served before.";
    UPGRADES = Counter "tentpole_upgrades_total" "Connections that became tunnels and have closed.";
    DURATION = Histogram "tentpole_request_duration_seconds" "From a request's first byte to the response's last byte handed to the kernel; tunnels do not count.";
    HEAD_DURATION = Histogram "tentpole_response_head_seconds" "From a request's first byte to the response's head handed to the kernel.";
    QUEUE_WAIT = Histogram "tentpole_queue_wait_seconds" "Time that an attempt waited for a permit.";
    RECORDS_DROPPED = Counter "tentpole_records_dropped_total" "Request records dropped because a ring was full.";
    LOG_DROPPED = Counter "tentpole_log_lines_dropped_total" "Access log lines dropped because the log was slow, full or failed.";
    LOG_ERRORS = Counter "tentpole_log_errors_total" "Errors while opening or writing the access log.";
    LEDGER = Gauge "tentpole_memory_held_bytes" "Bytes held on behalf of traffic, by account.";
    LEDGER_MAX = Gauge "tentpole_memory_max_bytes" "Bytes that may be held on behalf of traffic.";
    CACHE_OBJECTS = Gauge "tentpole_cache_objects" "Objects stored in memory.";
    CACHE_BYTES = Gauge "tentpole_cache_bytes" "Bytes that they cost, overhead and compressed forms included.";
    CACHE_BYTES_MAX = Gauge "tentpole_cache_max_bytes" "Bytes that they may cost.";
    CACHE_COMPRESSED = Gauge "tentpole_cache_compressed_bytes" "Bytes of the compressed forms among them.";
    CACHE_TAGS = Gauge "tentpole_cache_tag_links" "Links in the index of tags: one for each tag of each object.";
    CACHE_EVICTIONS = Counter "tentpole_cache_evictions_total" "Objects in memory that gave way to others.";
    CACHE_FILLS_NOW = Gauge "tentpole_cache_fills_under_way" "Fetches under way whose answer may be stored.";
    CACHE_FILLS = Counter "tentpole_cache_fills_total" "Fetches begun whose answer might be stored.";
    CACHE_JOINED = Counter "tentpole_cache_joined_total" "Requests that joined the fetch of another.";
    CACHE_SOFTLY_PURGED = Counter "tentpole_cache_softly_purged_total" "Objects that soft purges made stale.";
    FILTER_REQUESTS = Counter "tentpole_filter_requests_total" "Requests that a filter was about, by what it did.";
    CONNECTIONS_REPORTED = Counter "tentpole_connections_reported_total" "Connections above the limit of their address that were served, because it only reports.";
    PURGES = Counter "tentpole_purges_total" "Purges carried out, by who wanted them.";
    COMPRESSION_WAITING = Gauge "tentpole_compression_waiting" "Stored texts that wait to be compressed.";
    COMPRESSION_WAITING_BYTES = Gauge "tentpole_compression_waiting_bytes" "Bytes of these.";
    COMPRESSION_JOBS = Counter "tentpole_compression_total" "Compressed forms that were wanted, by what became of it.";
    COMPRESSION_IN = Counter "tentpole_compression_in_bytes_total" "Bytes that went into the compressed forms made.";
    COMPRESSION_OUT = Counter "tentpole_compression_out_bytes_total" "Bytes that came out of that.";
    LOAD_REQUESTS = Counter "tentpole_load_requests_total" "Finished requests that carried the signed mark of a load test.";
    LOAD_FAILED = Counter "tentpole_load_requests_failed_total" "Those of them that got a status of 500 and above.";
    LOAD_DURATION = Histogram "tentpole_load_request_duration_seconds" "Their times, from the first byte to the response's last byte handed to the kernel.";
    LEARNING_SERVED = Counter "tentpole_learning_requests_total" "Requests that got what was learned to be shared.";
    LEARNING_RULES = Gauge "tentpole_learning_rules" "URLs that are shared by a learned rule.";
    LEARNING_OBSERVATIONS = Counter "tentpole_learning_observations_total" "Answers that were to be learned from, by what became of it.";
    LEARNING_WITHDRAWN = Counter "tentpole_learning_withdrawn_total" "Learned rules withdrawn, by reason.";
    DISK_IN_USE = Gauge "tentpole_disk_in_use" "1 when the cache on disk is in use, 0 while its directory cannot be used.";
    DISK_OBJECTS = Gauge "tentpole_disk_objects" "Objects that can be found on disk.";
    DISK_BYTES = Gauge "tentpole_disk_bytes" "Bytes of the files of the cache on disk.";
    DISK_BYTES_MAX = Gauge "tentpole_disk_max_bytes" "Bytes that they may have.";
    DISK_LOOKUPS = Counter "tentpole_disk_lookups_total" "Times that the disk was asked for what memory did not hold, by result.";
    DISK_WRITES = Counter "tentpole_disk_writes_total" "Objects written to disk, and those that could not be.";
    DISK_EVICTIONS = Counter "tentpole_disk_evictions_total" "Objects on disk that gave way to others.";
    DISK_PURGES = Gauge "tentpole_disk_purges_remembered" "Purges remembered because something on disk is older.";
    DISK_ERRORS = Counter "tentpole_disk_errors_total" "Reads and writes that the system refused, and records that were damaged.";
    ENDPOINT_UP = Gauge "tentpole_endpoint_takes_traffic" "1 when the endpoint takes traffic, 0 when it does not.";
    ENDPOINT_OUT = Gauge "tentpole_endpoint_judged_down" "1 with the reason when health speaks against the endpoint, whether it stays in traffic or not; absent when it is up.";
    ENDPOINT_WEIGHT = Gauge "tentpole_endpoint_weight" "Weight in force; 0 drains.";
    ENDPOINT_IN_FLIGHT = Gauge "tentpole_endpoint_requests_in_flight" "Requests in flight at the endpoint.";
    ENDPOINT_OPEN = Gauge "tentpole_endpoint_connections_open" "Open connections to the endpoint, idle ones included.";
    ENDPOINT_REQUESTS = Counter "tentpole_endpoint_requests_total" "Requests sent to the endpoint, retries included.";
    ENDPOINT_CONNECTS = Counter "tentpole_endpoint_connects_total" "Connections made to the endpoint.";
    ENDPOINT_FAILURES = Counter "tentpole_endpoint_failures_total" "Attempts that failed by the endpoint's fault.";
    ENDPOINT_LOCAL_PORTS = Gauge "tentpole_endpoint_local_ports" "Ports of this machine in use towards the endpoint, by the address they belong to (source).";
    ENDPOINT_IDLE_LIMIT = Gauge "tentpole_endpoint_idle_limit_seconds" "Time after which the endpoint closes an idle connection, as learned; absent while it is not known.";
    ENDPOINT_LIMIT = Gauge "tentpole_endpoint_limit" "Requests that the endpoint may have in flight, where that follows what it carries, by why it was moved last.";
    ENDPOINT_ERRORS = Counter "tentpole_endpoint_errors_total" "Responses of the endpoint with status 500 and above.";
}
