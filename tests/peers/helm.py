"""What tests ask of Helm and of the schemas of Kubernetes: one question as JSON on stdin, its answer as JSON on stdout.

Helm is the SDK of Helm 4 (`helm-python-sdk`), the schemas are those of `kubernetes-validate`; tests/install-peers.sh installs both.
"""

import json
import sys

import helm_python as helm
import kubernetes_validate

# Kinds of others, whose schemas are not those of Kubernetes.
CUSTOM = "monitoring.coreos.com/"


def render(chart, release):
    """The manifests and the notes of a release, or why there are none."""
    values = release["values"]
    try:
        with helm.Chart.load(chart) as loaded:
            loaded.validate_schema(values)
            files = loaded.render(
                values, name=release["name"], namespace=release["namespace"], revision=release.get("revision", 1)
            )
    except helm.HelmError as error:
        return {"error": str(error)}
    notes = [text for name, text in files.items() if name.endswith("NOTES.txt")]
    manifests = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    return {"manifests": "\n---\n".join(manifests), "notes": "".join(notes)}


def lint(chart, values):
    """What `helm lint --strict` has to say beyond the icon that a chart may have."""
    report = helm.lint(chart, values, strict=True)
    return [finding for finding in report["messages"] if "icon" not in finding["error"]] + report["errors"]


def change(chart, kubeconfig, action, release):
    """Installs, upgrades, rolls back or removes a release in a cluster."""
    name, namespace = release["name"], release["namespace"]
    with helm.Config(kubeconfig_path=kubeconfig, namespace=namespace) as config:
        if action == "uninstall":
            return config.uninstall(name)
        if action == "rollback":
            return config.rollback(name)
        act = {"install": config.install, "upgrade": config.upgrade}[action]
        return act(chart, name, release["values"], namespace=namespace)


def validate(version, objects):
    """What the schemas of a version of Kubernetes have against the objects, unknown fields included."""
    problems = []
    for one in objects:
        if one["apiVersion"].startswith(CUSTOM):
            continue
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.InvalidSchemaError) as error:
            problems.append(f"{one['kind']} {one['metadata']['name']}: {error}")
    return problems


ANSWERS = {"render": render, "lint": lint, "change": change, "validate": validate}
question = json.load(sys.stdin)
json.dump(ANSWERS[question.pop("ask")](**question), sys.stdout)
