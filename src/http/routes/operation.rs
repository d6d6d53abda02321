//! Everything that can be done over HTTP, by name, and when. It must not know where it is served.

/// Everything that can be done.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Operation {
    /// `GET /v1/{key}`
    GetValue,
    /// `HEAD /v1/{key}`
    HeadValue,
    /// `PUT /v1/{key}`
    PutValue,
    /// `DELETE /v1/{key}`
    DeleteValue,
    /// `GET /keyspaces/{ks}/keys/{key}`
    GetKey,
    /// `HEAD /keyspaces/{ks}/keys/{key}`
    HeadKey,
    /// `PUT /keyspaces/{ks}/keys/{key}`
    PutKey,
    /// `DELETE /keyspaces/{ks}/keys/{key}`
    DeleteKey,
    /// `GET /keyspaces/{ks}/keys`
    ListKeys,
    /// `GET /keyspaces/{ks}/entries/{key}`
    GetEntry,
    /// `GET /keyspaces/{ks}/ttl/{key}`
    GetTtl,
    /// `PUT /keyspaces/{ks}/ttl/{key}`
    PutTtl,
    /// `DELETE /keyspaces/{ks}/ttl/{key}`
    DeleteTtl,
    /// `GET /keyspaces/{ks}/counters/{key}`
    GetCounter,
    /// `POST /keyspaces/{ks}/counters/{key}`
    AddToCounter,
    /// `POST /keyspaces/{ks}/batch`
    Batch,
    /// `DELETE /keyspaces/{ks}/keys?prefix=`
    DeleteKeys,
    /// `GET /keyspaces`
    ListKeyspaces,
    /// `DELETE /keyspaces?name=`
    DropKeyspaces,
    /// `GET /keyspaces/{ks}`
    GetKeyspace,
    /// `PUT /keyspaces/{ks}`
    PutKeyspace,
    /// `DELETE /keyspaces/{ks}`
    DropKeyspace,
    /// `GET /keyspaces/{ks}/watch`
    Watch,
    /// `POST /keyspaces/{ks}/flush`
    FlushKeyspace,
    /// `DELETE /flush`
    FlushByDelete,
    /// `POST /flush`
    FlushByPost,
    /// `GET /?key=`, and `GET /`
    Lookup,
    /// `HEAD /?key=`, and `HEAD /`
    HeadLookup,
    /// `GET /sinks`
    ListSinks,
    /// `POST /sinks/{ks}/sync`
    SyncSink,
    /// `GET /sinks/{ks}/pending`
    PendingOfSink,
    /// `GET /sinks/{ks}/dead`
    DeadOfSink,
    /// `POST /sinks/{ks}/redrive`
    RedriveSink,
    /// `POST /sinks/{ks}/resume`
    ResumeSink,
    /// `GET /health`
    Health,
    /// `GET /livez`
    Livez,
    /// `GET /readyz`
    Readyz,
    /// `GET /metrics`
    Metrics,
    /// `GET /limits`
    Limits,
    /// `GET /mirrors`
    Mirrors,
    /// `POST /admin/snapshot`
    Snapshot,
    /// `GET /sources`
    ListSources,
    /// `POST /sources/run/{name}`
    RunSource,
    /// `GET /docs`
    DocsRedirect,
    /// `GET /docs/...`
    Docs,
    /// `GET /problems/{code}`
    ProblemPage,
    /// `GET /openapi.json`
    OpenApiJson,
    /// `GET /openapi.yaml`
    OpenApiYaml,
    /// `GET /postman.json`
    PostmanJson,
    /// `GET /ui`
    UiRedirect,
    /// `GET /ui/...`
    Ui,
}

/// When an operation can be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    /// Once the store is open.
    Open,
    /// Always: probes, metrics and pages.
    Always,
}

impl Operation {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::GetValue,
        Self::HeadValue,
        Self::PutValue,
        Self::DeleteValue,
        Self::GetKey,
        Self::HeadKey,
        Self::PutKey,
        Self::DeleteKey,
        Self::ListKeys,
        Self::GetEntry,
        Self::DeleteKeys,
        Self::ListKeyspaces,
        Self::DropKeyspaces,
        Self::GetKeyspace,
        Self::PutKeyspace,
        Self::DropKeyspace,
        Self::GetTtl,
        Self::PutTtl,
        Self::DeleteTtl,
        Self::GetCounter,
        Self::AddToCounter,
        Self::Batch,
        Self::Watch,
        Self::FlushKeyspace,
        Self::FlushByDelete,
        Self::FlushByPost,
        Self::Lookup,
        Self::HeadLookup,
        Self::ListSinks,
        Self::SyncSink,
        Self::PendingOfSink,
        Self::DeadOfSink,
        Self::RedriveSink,
        Self::ResumeSink,
        Self::Health,
        Self::Livez,
        Self::Readyz,
        Self::Metrics,
        Self::Limits,
        Self::Mirrors,
        Self::Snapshot,
        Self::ListSources,
        Self::RunSource,
        Self::DocsRedirect,
        Self::Docs,
        Self::ProblemPage,
        Self::OpenApiJson,
        Self::OpenApiYaml,
        Self::PostmanJson,
        Self::UiRedirect,
        Self::Ui,
    ];

    /// Its name in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GetValue | Self::GetKey => "get_value",
            Self::HeadValue | Self::HeadKey => "head_value",
            Self::PutValue | Self::PutKey => "put_value",
            Self::DeleteValue | Self::DeleteKey => "delete_value",
            Self::ListKeys => "list_keys",
            Self::GetEntry => "get_entry",
            Self::DeleteKeys => "delete_keys",
            Self::ListKeyspaces => "list_keyspaces",
            Self::GetKeyspace => "get_keyspace",
            Self::PutKeyspace => "put_keyspace",
            Self::DropKeyspace | Self::DropKeyspaces => "drop_keyspace",
            Self::GetTtl => "get_ttl",
            Self::PutTtl => "put_ttl",
            Self::DeleteTtl => "delete_ttl",
            Self::GetCounter => "get_counter",
            Self::AddToCounter => "add_to_counter",
            Self::Batch => "batch",
            Self::Watch => "watch",
            Self::FlushByDelete | Self::FlushByPost | Self::FlushKeyspace => "flush",
            Self::Lookup | Self::HeadLookup => "lookup",
            Self::ListSinks => "list_sinks",
            Self::SyncSink => "sync_sink",
            Self::PendingOfSink => "pending_of_sink",
            Self::DeadOfSink => "dead_of_sink",
            Self::RedriveSink => "redrive_sink",
            Self::ResumeSink => "resume_sink",
            Self::Health => "health",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::Limits => "limits",
            Self::Mirrors => "mirrors",
            Self::Snapshot => "snapshot",
            Self::ListSources => "list_sources",
            Self::RunSource => "run_source",
            Self::DocsRedirect | Self::Docs => "docs",
            Self::ProblemPage => "problem_page",
            Self::OpenApiJson | Self::OpenApiYaml => "openapi",
            Self::PostmanJson => "postman",
            Self::UiRedirect | Self::Ui => "ui",
        }
    }

    /// When it can be done.
    pub(crate) fn admission(self) -> Admission {
        match self {
            Self::GetValue
            | Self::HeadValue
            | Self::PutValue
            | Self::DeleteValue
            | Self::GetKey
            | Self::HeadKey
            | Self::PutKey
            | Self::DeleteKey
            | Self::ListKeys
            | Self::GetEntry
            | Self::DeleteKeys
            | Self::ListKeyspaces
            | Self::DropKeyspaces
            | Self::GetKeyspace
            | Self::PutKeyspace
            | Self::DropKeyspace
            | Self::GetTtl
            | Self::PutTtl
            | Self::DeleteTtl
            | Self::GetCounter
            | Self::AddToCounter
            | Self::Batch
            | Self::Watch
            | Self::FlushKeyspace
            | Self::FlushByDelete
            | Self::FlushByPost
            | Self::ListSinks
            | Self::SyncSink
            | Self::PendingOfSink
            | Self::DeadOfSink
            | Self::RedriveSink
            | Self::ResumeSink
            | Self::Snapshot
            | Self::ListSources
            | Self::RunSource
            | Self::Mirrors
            | Self::Limits => Admission::Open,
            // The lookup of a key asks for the store itself: the same path is the way to the pages.
            Self::Lookup
            | Self::HeadLookup
            | Self::Health
            | Self::Livez
            | Self::Readyz
            | Self::Metrics
            | Self::DocsRedirect
            | Self::Docs
            | Self::ProblemPage
            | Self::OpenApiJson
            | Self::OpenApiYaml
            | Self::PostmanJson
            | Self::UiRedirect
            | Self::Ui => Admission::Always,
        }
    }
}
