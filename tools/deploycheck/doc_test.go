// Package deploycheck reads the files of deploy/ with the code of those who will read them:
// Compose's loader, Prometheus' parsers and query engine, kustomize, and the types of
// Kubernetes' API. They bring many modules, so they stay out of the program's go.mod.
package deploycheck
