//! What is served where: the one table of paths, methods and operations. Matching is by comparison alone, on the path as
//! the router normalises it; the key is read from the raw path later. It must not know how an operation is done.

mod operation;

use actix_web::http::Method;

pub(crate) use operation::{Admission, Operation};

/// Which paths a route is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pattern {
    /// This one.
    Exact(&'static str),
    /// Every one that begins so.
    Under(&'static str),
    /// `/keyspaces/{ks}`
    Keyspace,
    /// `/keyspaces/{ks}/` and this.
    Of(&'static str),
    /// `/keyspaces/{ks}/`, this, a slash and any key, also none.
    Keyed(&'static str),
    /// `/sinks/{ks}/` and this.
    Sink(&'static str),
}

impl Pattern {
    /// Whether `path` is one of these, where `resource` is [`resource`] of it. Names of keyspaces are not looked at here.
    fn fits(self, path: &str, resource: Option<&str>) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Under(prefix) => path.starts_with(prefix),
            Self::Keyspace => path
                .strip_prefix("/keyspaces/")
                .is_some_and(|name| !name.contains('/')),
            Self::Of(name) => resource == Some(name),
            Self::Keyed(name) => resource
                .and_then(|resource| resource.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with('/')),
            Self::Sink(name) => path
                .strip_prefix("/sinks/")
                .and_then(|rest| rest.split_once('/'))
                .is_some_and(|(_keyspace, act)| act == name),
        }
    }
}

/// What follows the name in `/keyspaces/{ks}/...`.
fn resource(path: &str) -> Option<&str> {
    let (_keyspace, resource) = path.strip_prefix("/keyspaces/")?.split_once('/')?;
    Some(resource)
}

/// A set of paths and what can be done with each method there. HEAD is listed wherever GET is, a watch aside.
#[derive(Debug)]
pub(crate) struct Route {
    /// The paths.
    pub(crate) pattern: Pattern,
    /// The methods.
    pub(crate) operations: &'static [(Method, Operation)],
    /// The methods as the `Allow` header lists them.
    pub(crate) allow: &'static str,
}

const fn read(pattern: Pattern, operations: &'static [(Method, Operation)]) -> Route {
    Route {
        pattern,
        operations,
        allow: "GET, HEAD",
    }
}

macro_rules! get {
    ($operation:ident) => {
        &[
            (Method::GET, Operation::$operation),
            (Method::HEAD, Operation::$operation),
        ]
    };
}

/// Every route, the busiest first.
pub(crate) static ROUTES: &[Route] = &[
    Route {
        pattern: Pattern::Under("/v1/"),
        operations: &[
            (Method::GET, Operation::GetValue),
            (Method::PUT, Operation::PutValue),
            (Method::DELETE, Operation::DeleteValue),
            (Method::HEAD, Operation::HeadValue),
        ],
        allow: "GET, HEAD, PUT, DELETE",
    },
    Route {
        pattern: Pattern::Keyed("keys"),
        operations: &[
            (Method::GET, Operation::GetKey),
            (Method::PUT, Operation::PutKey),
            (Method::DELETE, Operation::DeleteKey),
            (Method::HEAD, Operation::HeadKey),
        ],
        allow: "GET, HEAD, PUT, DELETE",
    },
    Route {
        pattern: Pattern::Of("keys"),
        operations: &[
            (Method::GET, Operation::ListKeys),
            (Method::HEAD, Operation::ListKeys),
            (Method::DELETE, Operation::DeleteKeys),
        ],
        allow: "GET, HEAD, DELETE",
    },
    Route {
        pattern: Pattern::Keyspace,
        operations: &[
            (Method::GET, Operation::GetKeyspace),
            (Method::HEAD, Operation::GetKeyspace),
            (Method::PUT, Operation::PutKeyspace),
            (Method::DELETE, Operation::DropKeyspace),
        ],
        allow: "GET, HEAD, PUT, DELETE",
    },
    Route {
        pattern: Pattern::Exact("/keyspaces"),
        operations: &[
            (Method::GET, Operation::ListKeyspaces),
            (Method::HEAD, Operation::ListKeyspaces),
            (Method::DELETE, Operation::DropKeyspaces),
        ],
        allow: "GET, HEAD, DELETE",
    },
    read(Pattern::Keyed("entries"), get!(GetEntry)),
    Route {
        pattern: Pattern::Keyed("ttl"),
        operations: &[
            (Method::GET, Operation::GetTtl),
            (Method::HEAD, Operation::GetTtl),
            (Method::PUT, Operation::PutTtl),
            (Method::DELETE, Operation::DeleteTtl),
        ],
        allow: "GET, HEAD, PUT, DELETE",
    },
    Route {
        pattern: Pattern::Keyed("counters"),
        operations: &[
            (Method::GET, Operation::GetCounter),
            (Method::HEAD, Operation::GetCounter),
            (Method::POST, Operation::AddToCounter),
        ],
        allow: "GET, HEAD, POST",
    },
    Route {
        pattern: Pattern::Of("batch"),
        operations: &[(Method::POST, Operation::Batch)],
        allow: "POST",
    },
    // No HEAD: a stream has nothing to tell before it runs.
    Route {
        pattern: Pattern::Of("watch"),
        operations: &[(Method::GET, Operation::Watch)],
        allow: "GET",
    },
    Route {
        pattern: Pattern::Of("flush"),
        operations: &[(Method::POST, Operation::FlushKeyspace)],
        allow: "POST",
    },
    read(
        Pattern::Exact("/"),
        &[
            (Method::GET, Operation::Lookup),
            (Method::HEAD, Operation::HeadLookup),
        ],
    ),
    Route {
        pattern: Pattern::Exact("/flush"),
        operations: &[
            (Method::DELETE, Operation::FlushByDelete),
            (Method::POST, Operation::FlushByPost),
        ],
        allow: "DELETE, POST",
    },
    read(Pattern::Exact("/sinks"), get!(ListSinks)),
    Route {
        pattern: Pattern::Sink("sync"),
        operations: &[(Method::POST, Operation::SyncSink)],
        allow: "POST",
    },
    read(Pattern::Sink("pending"), get!(PendingOfSink)),
    read(Pattern::Sink("dead"), get!(DeadOfSink)),
    Route {
        pattern: Pattern::Sink("redrive"),
        operations: &[(Method::POST, Operation::RedriveSink)],
        allow: "POST",
    },
    Route {
        pattern: Pattern::Sink("resume"),
        operations: &[(Method::POST, Operation::ResumeSink)],
        allow: "POST",
    },
    read(Pattern::Exact("/health"), get!(Health)),
    read(Pattern::Exact("/livez"), get!(Livez)),
    read(Pattern::Exact("/readyz"), get!(Readyz)),
    read(Pattern::Exact("/metrics"), get!(Metrics)),
    read(Pattern::Exact("/limits"), get!(Limits)),
    read(Pattern::Exact("/mirrors"), get!(Mirrors)),
    Route {
        pattern: Pattern::Exact("/admin/snapshot"),
        operations: &[(Method::POST, Operation::Snapshot)],
        allow: "POST",
    },
    read(Pattern::Exact("/sources"), get!(ListSources)),
    Route {
        pattern: Pattern::Under("/sources/run/"),
        operations: &[(Method::POST, Operation::RunSource)],
        allow: "POST",
    },
    read(Pattern::Exact("/docs"), get!(DocsRedirect)),
    read(Pattern::Under("/docs/"), get!(Docs)),
    read(Pattern::Under("/problems/"), get!(ProblemPage)),
    read(Pattern::Exact("/openapi.json"), get!(OpenApiJson)),
    read(Pattern::Exact("/openapi.yaml"), get!(OpenApiYaml)),
    read(Pattern::Exact("/postman.json"), get!(PostmanJson)),
    read(Pattern::Exact("/ui"), get!(UiRedirect)),
    read(Pattern::Under("/ui/"), get!(Ui)),
];

/// The route of `path` as the document writes it, for people; `None` where nothing is served.
pub(crate) fn template(path: &str) -> Option<String> {
    let resource = resource(path);
    let route = ROUTES
        .iter()
        .find(|route| route.pattern.fits(path, resource))?;
    Some(match route.pattern {
        Pattern::Exact(path) => path.to_owned(),
        Pattern::Under("/v1/") => "/v1/{key}".to_owned(),
        Pattern::Under("/sources/run/") => "/sources/run/{name}".to_owned(),
        Pattern::Under(prefix) => format!("{prefix}..."),
        Pattern::Keyspace => "/keyspaces/{ks}".to_owned(),
        Pattern::Of(name) => format!("/keyspaces/{{ks}}/{name}"),
        Pattern::Keyed(name) => format!("/keyspaces/{{ks}}/{name}/{{key}}"),
        Pattern::Sink(name) => format!("/sinks/{{ks}}/{name}"),
    })
}

/// What a request is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// This can be done.
    Operation(Operation),
    /// The path is served, but not with this method.
    WrongMethod(&'static Route),
    /// Nothing is served there.
    Nothing,
}

/// What `method` on `path` is for.
#[inline]
pub(crate) fn target(method: &Method, path: &str) -> Target {
    let resource = resource(path);
    let here = |route: &&Route| route.pattern.fits(path, resource);
    let Some(route) = ROUTES.iter().find(here) else {
        return Target::Nothing;
    };
    let operation = route
        .operations
        .iter()
        .find(|(allowed, _)| allowed == method);
    operation.map_or(Target::WrongMethod(route), |(_, operation)| {
        Target::Operation(*operation)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_route_and_allow_lists_its_methods() {
        let mut routed = Vec::new();
        for route in ROUTES {
            let mut methods: Vec<_> = route
                .operations
                .iter()
                .map(|(method, _)| method.as_str())
                .collect();
            let mut allowed: Vec<_> = route.allow.split(", ").collect();
            methods.sort_unstable();
            allowed.sort_unstable();
            assert_eq!(methods, allowed, "{:?}", route.pattern);
            routed.extend(route.operations.iter().map(|(_, operation)| *operation));
        }
        for operation in Operation::ALL {
            assert!(routed.contains(operation), "{operation:?}");
        }
    }

    #[test]
    fn head_is_served_wherever_get_is_but_for_a_watch() {
        for route in ROUTES {
            if route.pattern == Pattern::Of("watch") {
                assert_eq!(route.allow, "GET");
                continue;
            }
            let served =
                |wanted: Method| route.operations.iter().any(|(method, _)| *method == wanted);
            assert_eq!(
                served(Method::GET),
                served(Method::HEAD),
                "{:?}",
                route.pattern
            );
        }
    }

    #[test]
    fn no_slash_is_added_or_removed() {
        for path in [
            "/v1",
            "/flush/",
            "//v1/a",
            "/V1/a",
            "/health/",
            "",
            "*",
            "/admin",
            "/admin/snapshot/",
            "/problems",
        ] {
            assert!(
                matches!(target(&Method::GET, path), Target::Nothing),
                "{path}"
            );
        }
        for path in ["/v1/", "/v1/flush", "/v1//"] {
            assert!(
                matches!(
                    target(&Method::GET, path),
                    Target::Operation(Operation::GetValue)
                ),
                "{path}"
            );
        }
    }

    #[test]
    fn what_lies_in_a_keyspace_is_found_whatever_the_keyspace_is_called() {
        let operation = |method, path| match target(&method, path) {
            Target::Operation(operation) => Some(operation),
            Target::WrongMethod(_) | Target::Nothing => None,
        };
        for path in [
            "/keyspaces/a/keys/b",
            "/keyspaces/a/keys/",
            "/keyspaces//keys/b",
            "/keyspaces/NO/keys//",
            "/keyspaces/a/keys/flush",
        ] {
            assert_eq!(
                operation(Method::PUT, path),
                Some(Operation::PutKey),
                "{path}"
            );
        }
        assert_eq!(
            operation(Method::POST, "/keyspaces/a/flush"),
            Some(Operation::FlushKeyspace)
        );
        for path in [
            "/keyspaces/a/",
            "/keyspaces/a/flush/",
            "/keyspaces/a/keysb",
            "/keyspaces/a/b/flush",
            "/keyspace/a/flush",
        ] {
            assert_eq!(operation(Method::POST, path), None, "{path}");
        }
    }

    #[test]
    fn another_method_is_told_which_are_allowed() {
        let Target::WrongMethod(route) = target(&Method::POST, "/v1/a") else {
            panic!("POST on a key is no operation")
        };
        assert_eq!(route.allow, "GET, HEAD, PUT, DELETE");
    }
}
