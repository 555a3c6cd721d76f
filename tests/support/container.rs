//! A container as its manifest has it: the environment, the user, the capabilities and the volumes that the kubelet and its runtime
//! would give it.

use std::fmt::Write;
use std::fs;

use serde_yaml_ng::Value;

/// The namespace of the Pods.
const NAMESPACE: &str = "default";
/// The numbers of the capabilities that the manifests add (capabilities(7)).
const CAPABILITIES: [(&str, usize); 2] = [("NET_BIND_SERVICE", 10), ("NET_ADMIN", 12)];

pub struct Container<'m> {
    /// The objects of the manifest.
    pub objects: &'m [Value],
    /// The specification of the Pod.
    pub pod: &'m Value,
    pub name: &'m str,
}

impl Container<'_> {
    pub fn specification(&self) -> &Value {
        let containers = ["initContainers", "containers"].iter().filter_map(|list| self.pod[list].as_sequence());
        let mut containers = containers.flatten();
        containers
            .find(|container| container["name"] == self.name)
            .unwrap_or_else(|| panic!("no container {}", self.name))
    }

    /// The first word of its command, if the image's is not wanted.
    pub fn command(&self) -> Option<&str> {
        self.specification()["command"][0].as_str()
    }

    /// What follows the first word.
    pub fn arguments(&self) -> Vec<&str> {
        let [command, arguments] = ["command", "args"].map(|list| texts(&self.specification()[list]));
        command.into_iter().skip(1).chain(arguments).collect()
    }

    /// The variables, on a node of this address.
    pub fn environment(&self, node: &str) -> Vec<(String, String)> {
        let mut variables: Vec<(String, String)> = Vec::new();
        for variable in self.specification()["env"].as_sequence().into_iter().flatten() {
            let value =
                variable["value"].as_str().map_or_else(|| self.referred(&variable["valueFrom"], node), str::to_owned);
            // Kubernetes puts in variables that stand above.
            let value =
                variables.iter().fold(value, |value, (name, known)| value.replace(&format!("$({name})"), known));
            variables.push((variable["name"].as_str().expect("a name").to_owned(), value));
        }
        variables
    }

    fn referred(&self, from: &Value, node: &str) -> String {
        match from["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.namespace") => NAMESPACE.to_owned(),
            Some("status.hostIP") => node.to_owned(),
            Some("metadata.labels['apps.kubernetes.io/pod-index']") => "0".to_owned(),
            Some(other) => panic!("not known here: {other}"),
            None => {
                let (name, key) = (&from["configMapKeyRef"]["name"], &from["configMapKeyRef"]["key"]);
                let is_it = |object: &&Value| object["kind"] == "ConfigMap" && object["metadata"]["name"] == *name;
                let map = self.objects.iter().find(is_it).unwrap_or_else(|| panic!("no ConfigMap {name:?}"));
                map["data"][key].as_str().unwrap_or_else(|| panic!("no {key:?}")).to_owned()
            }
        }
    }

    /// Lines of shell for its volumes, in a mount namespace of its own.
    pub fn mounts(&self) -> String {
        let mut shell = String::new();
        let specification = self.specification();
        for mount in specification["volumeMounts"].as_sequence().into_iter().flatten() {
            let volumes = self.pod["volumes"].as_sequence().expect("volumes");
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("a volume");
            if volume["emptyDir"].is_mapping() {
                let path = mount["mountPath"].as_str().expect("a path");
                writeln!(shell, "mount -t tmpfs tmpfs \"$(dirname '{path}')\"; mkdir -m 777 '{path}'")
                    .expect("written");
            }
        }
        if specification["securityContext"]["readOnlyRootFilesystem"] == true {
            shell += "mount -o remount,bind,ro /\n";
        }
        shell
    }

    /// The arguments of `capsh` for its user and capabilities. A runtime changes the user with the capabilities kept, so that they
    /// are permitted until the program is executed.
    pub fn privileges(&self) -> Vec<String> {
        let context = &self.specification()["securityContext"];
        assert_eq!(texts(&context["capabilities"]["drop"]), ["ALL"]);
        let added = texts(&context["capabilities"]["add"]);
        let numbers: Vec<usize> = added.iter().map(|name| number(name)).collect();
        let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("a number");
        let last: usize = last.trim().parse().expect("a number");
        let dropped: Vec<String> = (0..=last).filter(|one| !numbers.contains(one)).map(|one| one.to_string()).collect();
        let kept: String = added.iter().map(|name| format!(" cap_{}+ep", name.to_lowercase())).collect();
        let user = context["runAsUser"].as_u64().expect("a user");
        let group = context["runAsGroup"].as_u64().unwrap_or(user);
        let mut arguments = vec![
            format!("--drop={}", dropped.join(",")),
            "--keep=1".to_owned(),
            format!("--groups={group}"),
            format!("--gid={group}"),
            format!("--uid={user}"),
            format!("--caps=all-eip{kept}"),
        ];
        if context["allowPrivilegeEscalation"] == false {
            arguments.push("--no-new-privs".to_owned());
        }
        arguments
    }
}

/// The file that the kubelet makes of a Pod's `dnsConfig`, where it has no other policy.
pub fn resolv_conf(dns_config: &Value) -> String {
    let nameservers: String =
        texts(&dns_config["nameservers"]).iter().map(|address| format!("nameserver {address}\n")).collect();
    let options = dns_config["options"].as_sequence().into_iter().flatten();
    let options: Vec<String> = options
        .map(|option| format!("{}:{}", option["name"].as_str().expect("text"), option["value"].as_str().expect("text")))
        .collect();
    format!("{nameservers}search {}\noptions {}\n", texts(&dns_config["searches"]).join(" "), options.join(" "))
}

fn number(capability: &str) -> usize {
    let known = CAPABILITIES.iter().find(|(name, _)| *name == capability);
    known.unwrap_or_else(|| panic!("not known here: {capability}")).1
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_sequence().into_iter().flatten().map(|text| text.as_str().expect("text")).collect()
}
