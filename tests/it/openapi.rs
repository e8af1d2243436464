//! The document that describes the HTTP APIs: it is there, and so is everything that it describes. Whether the answers
//! are those that it promises is for `tests/api/run` to find out.

use hyper::Request;
use serde_json::Value;

use crate::support::{Answer, Server};

async fn ask(server: &Server, method: &str, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    server.http(request.body(String::new()).unwrap()).await
}

#[tokio::test]
async fn the_document_is_openapi_and_of_this_version() {
    let server = Server::start();
    let answer = ask(&server, "GET", "/openapi.json").await;
    answer.expect(200);
    assert_eq!(answer.headers["content-type"], "application/json");
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference within");
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(target) if name == "$ref" => references.push(target.clone()),
                    field => collect(field, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_of_the_document_is_there() {
    let server = Server::start();
    let document = ask(&server, "GET", "/openapi.json").await.json();
    let mut routes = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        // The route is there for anybody; what is behind it is not.
        let target = path.replace("{name}", "c").replace("{id}", "x");
        for (method, operation) in item.as_object().unwrap() {
            let answer = ask(&server, &method.to_uppercase(), &target).await;
            assert!(
                ![404, 405].contains(&answer.status),
                "{method} {path}: {answer:?}"
            );
            let described = &operation["responses"][answer.status.to_string()];
            assert!(described.is_object(), "{method} {path}: {answer:?}");
            routes += 1;
        }
        // No path has a method that the document keeps to itself.
        for method in ["get", "head", "post", "put", "patch", "delete", "options"] {
            if item.get(method).is_none() {
                let answer = server.api(&method.to_uppercase(), &target, "").await;
                answer.expect(405);
            }
        }
    }
    assert!(routes >= 20, "{routes}");
}
