package deploycheck

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// cluster is what an overlay makes, in the types of Kubernetes' own API.
type cluster struct {
	namespaces  []corev1.Namespace
	services    map[string]corev1.Service
	configs     map[string]corev1.ConfigMap
	secrets     map[string]corev1.Secret
	deployments map[string]appsv1.Deployment
	stateful    map[string]appsv1.StatefulSet
	jobs        map[string]batchv1.Job
	budgets     map[string]policyv1.PodDisruptionBudget
	policies    []networkingv1.NetworkPolicy
}

// overlay builds an overlay as kubectl does, in a copy of deploy/ with secrets of `make env`.
func overlay(t *testing.T, name string) *cluster {
	t.Helper()
	work := t.TempDir()
	if err := os.CopyFS(filepath.Join(work, "deploy"), os.DirFS(filepath.Join(root, "deploy"))); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(work, "deploy/kubernetes/overlays", name)
	_ = os.Remove(filepath.Join(dir, "secrets.env")) // of whoever runs the test
	makeEnv := exec.CommandContext(t.Context(), "make", "--silent", "env", "ENV="+filepath.Join(dir, "secrets.env"))
	makeEnv.Dir = root
	if out, err := makeEnv.CombinedOutput(); err != nil {
		t.Fatalf("make env: %v\n%s", err, out)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{
		services: map[string]corev1.Service{}, configs: map[string]corev1.ConfigMap{}, secrets: map[string]corev1.Secret{},
		deployments: map[string]appsv1.Deployment{}, stateful: map[string]appsv1.StatefulSet{}, jobs: map[string]batchv1.Job{},
		budgets: map[string]policyv1.PodDisruptionBudget{},
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.add(document); err != nil {
			t.Errorf("%v in:\n%s", err, document)
		}
	}
}

// add decodes a manifest strictly: a field that the API does not have is an error.
func (c *cluster) add(document []byte) error {
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(document, &head); err != nil {
		return err
	}
	switch head.APIVersion + " " + head.Kind {
	case "v1 Namespace":
		return keep(document, func(n corev1.Namespace) { c.namespaces = append(c.namespaces, n) })
	case "v1 Service":
		return keep(document, func(s corev1.Service) { c.services[s.Name] = s })
	case "v1 ConfigMap":
		return keep(document, func(m corev1.ConfigMap) { c.configs[m.Name] = m })
	case "v1 Secret":
		return keep(document, func(s corev1.Secret) { c.secrets[s.Name] = s })
	case "apps/v1 Deployment":
		return keep(document, func(d appsv1.Deployment) { c.deployments[d.Name] = d })
	case "apps/v1 StatefulSet":
		return keep(document, func(s appsv1.StatefulSet) { c.stateful[s.Name] = s })
	case "batch/v1 Job":
		return keep(document, func(j batchv1.Job) { c.jobs[j.Name] = j })
	case "policy/v1 PodDisruptionBudget":
		return keep(document, func(b policyv1.PodDisruptionBudget) { c.budgets[b.Name] = b })
	case "networking.k8s.io/v1 NetworkPolicy":
		return keep(document, func(p networkingv1.NetworkPolicy) { c.policies = append(c.policies, p) })
	}
	return fmt.Errorf("%s %s is not known here", head.APIVersion, head.Kind)
}

func keep[T any](document []byte, add func(T)) error {
	var v T
	if err := yaml.UnmarshalStrict(document, &v); err != nil {
		return err
	}
	add(v)
	return nil
}

// pods returns every pod template by its component's name.
func (c *cluster) pods() map[string]corev1.PodTemplateSpec {
	all := map[string]corev1.PodTemplateSpec{}
	for name, d := range c.deployments {
		all[name] = d.Spec.Template
	}
	for name, s := range c.stateful {
		all[name] = s.Spec.Template
	}
	for name, j := range c.jobs {
		all[name] = j.Spec.Template
	}
	return all
}

func TestKubernetes(t *testing.T) {
	for name, infrastructure := range map[string][]string{"production": nil, "try": {"mysql", "redis", "kafka"}} {
		t.Run(name, func(t *testing.T) {
			c := overlay(t, name)
			if len(c.deployments) != len(services) || len(c.stateful) != len(infrastructure) || len(c.jobs) != 1 {
				t.Fatalf("%d services, %d servers, %d jobs", len(c.deployments), len(c.stateful), len(c.jobs))
			}
			t.Run("every container is bounded, unprivileged and pinned", c.wantHardened)
			t.Run("what a container reads is there", c.wantReferences)
			t.Run("each service runs as in compose, with the variables its configuration asks for", c.wantServices)
			t.Run("an upgrade stops nobody before another one is ready, and lets it finish", c.wantRolling)
			t.Run("traffic finds the pods, at the ports where they listen", c.wantTraffic)
			t.Run("a service reaches those that its configuration names, and nobody else does", c.wantPolicies)
			t.Run("the setup runs with what the services have", c.wantSetup)
		})
	}
	t.Run("one broker, MySQL and Redis to try run with the settings of compose", func(t *testing.T) { overlay(t, "try").wantServers(t) })
}

func (c *cluster) wantHardened(t *testing.T) {
	for name, pod := range c.pods() {
		s := pod.Spec.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: its pod is not confined", name)
		}
		if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
			t.Errorf("%s gets a token of the cluster", name)
		}
		for _, one := range pod.Spec.Containers {
			s := one.SecurityContext
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
				t.Errorf("%s is privileged", name)
			}
			if readOnly := s != nil && s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem; !readOnly && name != "kafka" {
				t.Errorf("%s may write to its root", name)
			}
			if one.Resources.Limits.Memory().IsZero() || one.Resources.Limits.Cpu().IsZero() || one.Resources.Requests.Memory().IsZero() {
				t.Errorf("%s is not bounded", name)
			}
			if tag := regexp.MustCompile(`:(v?\d+\.\d+\.\d+|local)$`); !tag.MatchString(one.Image) {
				t.Errorf("%s: image %s has no exact tag", name, one.Image)
			}
		}
	}
	for _, n := range c.namespaces {
		if n.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			t.Errorf("namespace %s lets pods do anything", n.Name)
		}
	}
}

func (c *cluster) wantReferences(t *testing.T) {
	for name, pod := range c.pods() {
		mounted := map[string]bool{}
		for _, one := range pod.Spec.Containers {
			for _, e := range one.Env {
				if e.ValueFrom == nil {
					continue
				}
				if ref := e.ValueFrom.SecretKeyRef; ref != nil && len(c.secrets[ref.Name].Data[ref.Key]) == 0 {
					t.Errorf("%s: secret %s has no %s", name, ref.Name, ref.Key)
				}
				if ref := e.ValueFrom.ConfigMapKeyRef; ref != nil && c.configs[ref.Name].Data[ref.Key] == "" {
					t.Errorf("%s: %s has no %s", name, ref.Name, ref.Key)
				}
			}
			for _, m := range one.VolumeMounts {
				mounted[m.Name] = true
			}
		}
		for _, v := range pod.Spec.Volumes {
			if !mounted[v.Name] {
				t.Errorf("%s: nobody mounts %s", name, v.Name)
			}
			if v.ConfigMap != nil && len(c.configs[v.ConfigMap.Name].Data) == 0 {
				t.Errorf("%s: there is no %s", name, v.ConfigMap.Name)
			}
			delete(mounted, v.Name)
		}
		for _, claim := range c.stateful[name].Spec.VolumeClaimTemplates {
			delete(mounted, claim.Name)
		}
		if len(mounted) > 0 {
			t.Errorf("%s mounts %v, which is not there", name, mounted)
		}
	}
}

func (c *cluster) wantServices(t *testing.T) {
	p, err := load(t, environment(t)...)
	if err != nil {
		t.Fatal(err)
	}
	live, ready := probePaths(t)
	asked := regexp.MustCompile(`\$\{(\w+)\}`)
	for _, name := range services {
		pod := c.deployments[name].Spec.Template.Spec
		one := pod.Containers[0]
		if !slices.Equal(one.Command, []string(p.Services[name].Command)) {
			t.Errorf("%s runs %v", name, one.Command)
		}
		given := map[string]bool{}
		for _, e := range one.Env {
			given[e.Name] = true
		}
		delete(given, "POD_IP") // for MSCOIN_ENDPOINT
		for line := range strings.Lines(etc(t, name)) {
			for _, m := range asked.FindAllStringSubmatch(strings.Split(line, "#")[0], -1) {
				if _, ok := given[m[1]]; !ok {
					t.Errorf("%s asks for %s, which it does not get", name, m[1])
				}
				given[m[1]] = false
			}
		}
		for variable, unasked := range given {
			if unasked {
				t.Errorf("%s gets %s, for which it does not ask", name, variable)
			}
		}
		if got := c.configs[volume(pod, "etc")].Data[name+".yaml"]; got != etc(t, name) {
			t.Errorf("%s does not read the containers' configuration", name)
		}
		for what, probe := range map[string]*corev1.Probe{live: one.LivenessProbe, ready: one.ReadinessProbe} {
			if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != what || probe.HTTPGet.Port != intstr.FromString("telemetry") {
				t.Errorf("%s is not asked at %s", name, what)
			}
		}
		if memory := one.Resources.Limits.Memory().Value(); memory != int64(p.Services[name].MemLimit) {
			t.Errorf("%s may take %d bytes, and %d in compose", name, memory, p.Services[name].MemLimit)
		}
	}
}

// volume returns the ConfigMap of a pod's volume.
func volume(pod corev1.PodSpec, name string) string {
	for _, v := range pod.Volumes {
		if v.Name == name && v.ConfigMap != nil {
			return v.ConfigMap.Name
		}
	}
	return ""
}

// source returns what the code says at the group of pattern.
func source(t *testing.T, file, pattern string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(content)
	if m == nil {
		t.Fatalf("%s does not say %s", file, pattern)
	}
	return string(m[1])
}

func probePaths(t *testing.T) (live, ready string) {
	t.Helper()
	const file = "mscoin-common/telemetry/server.go"
	return source(t, file, `LivePath = "(\S+)"`), source(t, file, `ReadyPath = "(\S+)"`)
}

func (c *cluster) wantRolling(t *testing.T) {
	for _, name := range services {
		d := c.deployments[name]
		if d.Spec.Replicas == nil || *d.Spec.Replicas < 2 {
			t.Errorf("%s has no second instance", name)
		}
		r := d.Spec.Strategy.RollingUpdate
		if r == nil || *r.MaxUnavailable != intstr.FromInt32(0) || *r.MaxSurge != intstr.FromInt32(1) || d.Spec.MinReadySeconds < 1 {
			t.Errorf("%s: %+v, ready for %d s", name, r, d.Spec.MinReadySeconds)
		}
		stop, err := strconv.ParseInt(source(t, name+"/service/service.go", `stopTimeout\s+= (\d+) \* time.Second`), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		const telemetry = 2 // s, for the traces that wait
		pod := d.Spec.Template.Spec
		pause := pod.Containers[0].Lifecycle.PreStop.Sleep.Seconds
		if patience := *pod.TerminationGracePeriodSeconds; patience < pause+stop+telemetry+5 {
			t.Errorf("%s is killed after %d s; it pauses %d s and stops within %d", name, patience, pause, stop+telemetry)
		}
		b, ok := c.budgets[name]
		if !ok || b.Spec.MaxUnavailable == nil || *b.Spec.MaxUnavailable != intstr.FromInt32(1) || !selects(t, b.Spec.Selector, d.Spec.Template.Labels) {
			t.Errorf("%s has no disruption budget", name)
		}
		if !selects(t, d.Spec.Selector, d.Spec.Template.Labels) {
			t.Errorf("%s does not select its pods", name)
		}
	}
}

func selects(t *testing.T, s *metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(of))
}

// address is how a configuration names another component.
var address = regexp.MustCompile(`\b(kafka|redis|mysql|ucenter|exchange|wallet|market|gateway|chain):(\d+)\b`)

func (c *cluster) wantTraffic(t *testing.T) {
	for _, name := range services {
		pod := c.deployments[name].Spec.Template
		var listens []string
		for _, m := range regexp.MustCompile(`(?m)^\s*ListenOn: 0\.0\.0\.0:(\d+)$`).FindAllStringSubmatch(etc(t, name), -1) {
			listens = append(listens, m[1])
		}
		var ports []string
		for _, p := range pod.Spec.Containers[0].Ports {
			ports = append(ports, strconv.Itoa(int(p.ContainerPort)))
		}
		if !slices.Equal(ports, listens) {
			t.Errorf("%s listens at %v, and its container says %v", name, listens, ports)
		}
		if got := pod.Annotations["prometheus.io/port"]; got != listens[1] {
			t.Errorf("%s: Prometheus is sent to %s", name, got)
		}
	}
	named := address.FindAllStringSubmatch(strings.Join([]string{
		etc(t, "ucenter"), etc(t, "exchange"), etc(t, "wallet"), etc(t, "market"), etc(t, "gateway"), "mysql:3306",
	}, "\n"), -1)
	for _, m := range named {
		s, ok := c.services[m[1]]
		if !ok {
			t.Errorf("there is no service %s", m[1])
			continue
		}
		if s.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		pod, ok := c.pods()[m[1]]
		if !ok || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("service %s finds no pod", m[1])
			continue
		}
		if port := s.Spec.Ports[0]; strconv.Itoa(int(port.Port)) != m[2] || containerPort(pod, port.TargetPort.StrVal) != port.Port {
			t.Errorf("%s is asked at %s, and listens at %+v", m[1], m[2], port)
		}
	}
}

func containerPort(pod corev1.PodTemplateSpec, name string) int32 {
	for _, p := range pod.Spec.Containers[0].Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

// talks are who asks whom beside what the configurations name: DSNs are secrets, and
// instances ask each other.
var talks = map[string][]string{
	"ucenter": {"mysql"}, "exchange": {"mysql", "exchange"}, "wallet": {"mysql"}, "market": {"mysql"}, "setup": {"mysql", "kafka"},
}

func (c *cluster) wantPolicies(t *testing.T) {
	pods := c.pods()
	for from, pod := range pods {
		asks := slices.Clone(talks[from])
		if slices.Contains(services, from) {
			for line := range strings.Lines(etc(t, from)) {
				for _, m := range address.FindAllStringSubmatch(strings.Split(line, "#")[0], -1) {
					asks = append(asks, m[1])
				}
			}
		}
		for to, other := range pods {
			if to == "setup" || to == "gateway" {
				continue
			}
			port := other.Spec.Containers[0].Ports[0].Name
			if got, want := c.admits(t, other.Labels, pod.Labels, port), slices.Contains(asks, to); got != want {
				t.Errorf("%s reaches %s: %t, and it must be %t", from, to, got, want)
			}
		}
	}
}

// admits reports whether the policies let pods with labels from reach a port of pods with
// labels to, within the namespace.
func (c *cluster) admits(t *testing.T, to, from map[string]string, port string) bool {
	t.Helper()
	guarded := false
	for _, p := range c.policies {
		if !selects(t, &p.Spec.PodSelector, to) {
			continue
		}
		guarded = true
		for _, rule := range p.Spec.Ingress {
			if !slices.ContainsFunc(rule.Ports, func(r networkingv1.NetworkPolicyPort) bool { return r.Port.StrVal == port }) {
				continue
			}
			for _, peer := range rule.From {
				if peer.PodSelector != nil && peer.NamespaceSelector == nil && selects(t, peer.PodSelector, from) {
					return true
				}
			}
		}
	}
	return !guarded
}

func (c *cluster) wantSetup(t *testing.T) {
	p, err := load(t, environment(t)...)
	if err != nil {
		t.Fatal(err)
	}
	one := c.jobs["setup"].Spec.Template.Spec.Containers[0]
	given := map[string]bool{}
	for _, e := range one.Env {
		given[e.Name] = true
	}
	for name := range p.Services["setup"].Environment {
		if !given[name] {
			t.Errorf("setup does not get %s", name)
		}
	}
	if one.Command[0] != p.Services["setup"].Command[0] {
		t.Errorf("setup runs %v", one.Command)
	}
}

// wantServers compares the servers of the overlay with those of compose.
func (c *cluster) wantServers(t *testing.T) {
	p, err := load(t, environment(t)...)
	if err != nil {
		t.Fatal(err)
	}
	different := map[string]bool{ // where they must differ
		"KAFKA_CONTROLLER_QUORUM_VOTERS": true, "KAFKA_LOG_DIRS": true,
	}
	for _, name := range []string{"mysql", "redis", "kafka"} {
		one, other := c.stateful[name].Spec.Template.Spec.Containers[0], p.Services[name]
		if one.Image != other.Image {
			t.Errorf("%s: %s, and %s in compose", name, one.Image, other.Image)
		}
		given := map[string]corev1.EnvVar{}
		for _, e := range one.Env {
			given[e.Name] = e
		}
		for variable, value := range other.Environment {
			e, ok := given[variable]
			if !ok || e.ValueFrom == nil && e.Value != *value && !different[variable] {
				t.Errorf("%s: %s is %q, and %q in compose", name, variable, e.Value, *value)
			}
		}
		if memory := one.Resources.Limits.Memory().Value(); memory != int64(other.MemLimit) {
			t.Errorf("%s may take %d bytes, and %d in compose", name, memory, other.MemLimit)
		}
	}
	cnf, err := os.ReadFile(filepath.Join(root, "deploy/docker/mysql.cnf"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.configs[volume(c.stateful["mysql"].Spec.Template.Spec, "cnf")].Data["mscoin.cnf"]; !bytes.Equal([]byte(got), cnf) {
		t.Error("MySQL does not read mysql.cnf")
	}
	if got, want := c.stateful["redis"].Spec.Template.Spec.Containers[0].Command[2], strings.ReplaceAll(p.Services["redis"].Command[2], "$$", "$"); got != want {
		t.Errorf("Redis runs %s, and %s in compose", got, want)
	}
}
