"""Manifests for KubeRay, and their check without a cluster."""
