//! Objects as an API server sends them, with all the fields that the server under test ignores.

use std::net::Ipv4Addr;

use kube_sandbox::Sandbox;
use kube_sandbox::kind::Kind;
use serde_json::{Value, json};

/// A namespace that the sandbox has from its start.
pub const NAMESPACE: &str = "default";
/// Endpoints per slice, the default of the EndpointSlice controller.
pub const SLICE: usize = 100;
/// The first Pod's address, 10.0.0.1.
const FIRST_ADDRESS: u32 = 0x0a00_0001;

/// A StatefulSet and its headless Service of the same name.
#[derive(Clone, Debug)]
pub struct Workload {
    pub name: String,
    pub replicas: usize,
    /// How many Pods the workloads before it have.
    pub first: usize,
}

impl Workload {
    pub fn address(&self, ordinal: usize) -> Ipv4Addr {
        Ipv4Addr::from(FIRST_ADDRESS + (self.first + ordinal) as u32)
    }

    pub fn slices(&self) -> impl Iterator<Item = usize> {
        0..self.replicas.div_ceil(SLICE)
    }

    pub fn service(&self) -> Value {
        let name = &self.name;
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "namespace": NAMESPACE, "name": name, "labels": { "app.kubernetes.io/name": name },
                "managedFields": [managed("helm", json!({ "f:spec": { "f:clusterIP": {}, "f:ports": {}, "f:selector": {} } }))],
            },
            "spec": {
                "clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "type": "ClusterIP",
                "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP", "targetPort": "sql" }],
                "selector": { "app.kubernetes.io/name": name },
            },
            "status": { "loadBalancer": {} },
        })
    }

    pub fn stateful_set(&self) -> Value {
        let name = &self.name;
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "namespace": NAMESPACE, "name": name },
            "spec": {
                "replicas": self.replicas, "serviceName": name, "podManagementPolicy": "Parallel",
                "selector": { "matchLabels": { "app.kubernetes.io/name": name } },
                "template": {
                    "metadata": { "labels": { "app.kubernetes.io/name": name } },
                    "spec": { "containers": [{ "name": "db", "image": "registry.example/db:17.2" }] },
                },
            },
        })
    }

    pub fn pod(&self, ordinal: usize, is_ready: bool) -> Value {
        let (workload, name) = (&self.name, self.pod_name(ordinal));
        let (address, now) = (self.address(ordinal), now());
        let condition = |kind: &str, status: bool| {
            let status = if status { "True" } else { "False" };
            json!({ "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": now })
        };
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": NAMESPACE, "name": name, "generateName": format!("{workload}-"),
                "labels": {
                    "app.kubernetes.io/name": workload, "apps.kubernetes.io/pod-index": ordinal.to_string(),
                    "controller-revision-hash": format!("{workload}-6c7d9f5b4"), "statefulset.kubernetes.io/pod-name": name,
                },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "name": workload, "controller": true,
                    "blockOwnerDeletion": true, "uid": "7d9c2b1e-5d0f-4a55-9d9a-0f2f5a6b7c8d",
                }],
                "managedFields": [
                    managed("kube-controller-manager", json!({
                        "f:metadata": { "f:generateName": {}, "f:labels": { ".": {}, "f:app.kubernetes.io/name": {} } },
                        "f:spec": { "f:containers": { "k:{\"name\":\"db\"}": { ".": {}, "f:image": {}, "f:ports": {} } } },
                    })),
                    managed("kubelet", json!({ "f:status": { "f:conditions": {}, "f:containerStatuses": {}, "f:podIPs": {} } })),
                ],
            },
            "spec": {
                "hostname": name, "subdomain": workload, "nodeName": "node-a", "restartPolicy": "Always",
                "containers": [{
                    "name": "db", "image": "registry.example/db:17.2", "imagePullPolicy": "IfNotPresent",
                    "ports": [{ "name": "sql", "containerPort": 5432, "protocol": "TCP" }],
                    "env": [{ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
                    "resources": { "requests": { "cpu": "500m", "memory": "1Gi" } },
                    "volumeMounts": [{ "name": "data", "mountPath": "/var/lib/db" }],
                }],
                "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "serviceAccountName": "default",
                "terminationGracePeriodSeconds": 30,
                "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": format!("data-{name}") } }],
            },
            "status": {
                "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }], "hostIP": "172.18.0.2",
                "startTime": now, "qosClass": "Burstable",
                "conditions": [
                    condition("PodReadyToStartContainers", true), condition("Initialized", true),
                    condition("Ready", is_ready), condition("ContainersReady", is_ready), condition("PodScheduled", true),
                ],
                "containerStatuses": [{
                    "name": "db", "image": "registry.example/db:17.2", "ready": is_ready, "restartCount": 0, "started": true,
                    "state": { "running": { "startedAt": now } },
                }],
            },
        })
    }

    /// Slice `number`, as the EndpointSlice controller writes it for the Pods in the store.
    pub fn slice(&self, sandbox: &Sandbox, number: usize) -> Value {
        let name = &self.name;
        let ordinals = number * SLICE..((number + 1) * SLICE).min(self.replicas);
        let endpoints = ordinals.map(|ordinal| {
            let pod = sandbox.store().get(Kind::Pod, NAMESPACE, &self.pod_name(ordinal)).expect("the Pod");
            let is_ready = pod["status"]["conditions"][2]["status"] == "True";
            json!({
                "addresses": [self.address(ordinal)], "hostname": self.pod_name(ordinal), "nodeName": "node-a",
                "conditions": { "ready": is_ready, "serving": is_ready, "terminating": false },
                "targetRef": {
                    "kind": "Pod", "namespace": NAMESPACE, "name": self.pod_name(ordinal), "uid": pod["metadata"]["uid"],
                },
            })
        });
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "namespace": NAMESPACE, "name": format!("{name}-{number:05x}"),
                "annotations": { "endpoints.kubernetes.io/last-change-trigger-time": now() },
                "labels": {
                    "app.kubernetes.io/name": name, "service.kubernetes.io/headless": "",
                    "kubernetes.io/service-name": name,
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
                "managedFields": [managed("kube-controller-manager", json!({ "f:endpoints": {}, "f:ports": {} }))],
            },
            "endpoints": endpoints.collect::<Vec<_>>(),
            "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP" }],
        })
    }

    /// Creates the Service, Pods and slices, with all Pods ready or none.
    pub fn create(&self, sandbox: &Sandbox, is_ready: bool) {
        create(sandbox, Kind::Service, self.service());
        (0..self.replicas).for_each(|ordinal| create(sandbox, Kind::Pod, self.pod(ordinal, is_ready)));
        self.slices().for_each(|number| create(sandbox, Kind::EndpointSlice, self.slice(sandbox, number)));
    }

    pub fn pod_name(&self, ordinal: usize) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// The name of one Pod in the DNS.
    pub fn host(&self, ordinal: usize) -> String {
        format!("{}.{}.{NAMESPACE}.svc.cluster.local", self.pod_name(ordinal), self.name)
    }
}

fn create(sandbox: &Sandbox, kind: Kind, object: Value) {
    sandbox.store().create(kind, object).expect("a new object");
}

/// An entry of `managedFields`.
fn managed(manager: &str, fields: Value) -> Value {
    json!({
        "manager": manager, "operation": "Update", "apiVersion": "v1", "time": now(), "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    })
}

fn now() -> String {
    kube_sandbox::now()
}
