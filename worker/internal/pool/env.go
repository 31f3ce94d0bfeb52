package pool

import (
	"cmp"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// runtimeAPI tells a process where its API is.
const runtimeAPI = "AWS_LAMBDA_RUNTIME_API"

// defaultMemory is what functions are told they have if there is no limit.
const defaultMemory = 1024 // MiB

// memory is what functions are told they have, in MiB.
func (p *Pool) memory() int {
	return cmp.Or(int(p.cfg.Jail.Limits().Memory>>20), defaultMemory)
}

// maxHeap is the option that bounds V8's heap, in MiB.
const maxHeap = "--max-old-space-size"

// nodeArgs are the arguments that Node is started with. Its heap gets three
// quarters of the memory; the rest is for buffers, code, and Node itself. A
// function that runs out of memory then mostly does so in V8, which says where.
func (p *Pool) nodeArgs(env []string) []string {
	args := []string{p.bootstrap}
	own := func(entry string) bool {
		return strings.HasPrefix(entry, "NODE_OPTIONS=") && strings.Contains(strings.ReplaceAll(entry, "_", "-"), maxHeap)
	}
	if p.cfg.Jail.Limits().Memory > 0 && !slices.ContainsFunc(env, own) { // an argument would go before it
		args = append([]string{maxHeap + "=" + strconv.Itoa(p.memory()*3/4)}, args...)
	}
	return args
}

// defaultRegion is where functions are told they run, for AWS clients that
// insist on a region.
const defaultRegion = "us-east-1"

// baseVars is the environment of every process. Nothing of the worker's own
// gets in: it holds the keys to the house.
func (p *Pool) baseVars(i *instance) map[string]string {
	searchPath := "/usr/local/bin:/usr/bin:/bin"
	if dir := filepath.Dir(p.cfg.Node); p.cfg.Node != "" && !strings.Contains(":"+searchPath+":", ":"+dir+":") {
		searchPath = dir + ":" + searchPath
	}
	return map[string]string{
		"PATH":   searchPath,
		"HOME":   i.cell.Tmp(),
		"TMPDIR": i.cell.Tmp(),
		"LANG":   "en_US.UTF-8", // as on Lambda; Node formats numbers and dates by it
		"TZ":     "UTC",

		runtimeAPI: i.api.Endpoint(),
	}
}

// functionVars are the variables of a function whose code is in dir: its own,
// and Lambda's.
func (p *Pool) functionVars(code *Code, dir string) map[string]string {
	name := code.Function.Name
	vars := map[string]string{"AWS_REGION": defaultRegion, "AWS_DEFAULT_REGION": defaultRegion}
	for _, entry := range code.Env {
		if key, value, ok := strings.Cut(entry, "="); ok && key != "" {
			vars[key] = value
		}
	}
	handler := code.Function.Entry
	if code.Function.Runtime != "provided" {
		handler = strings.TrimSuffix(handler, path.Ext(handler)) + ".handler"
	}
	for key, value := range map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME":        name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(p.memory()),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      "$LATEST",
		"LAMBDA_TASK_ROOT":                dir,
		"_HANDLER":                        handler,
	} {
		vars[key] = value
	}
	delete(vars, runtimeAPI)
	return vars
}

// spareEnv is the environment of a process that has no function yet.
func (p *Pool) spareEnv(i *instance) []string { return entries(p.baseVars(i)) }

// functionEnv is the environment of a process that is started for a function.
func (p *Pool) functionEnv(i *instance, code *Code) []string {
	vars := p.baseVars(i)
	maps.Copy(vars, p.functionVars(code, code.Dir))
	return entries(vars)
}

func entries(vars map[string]string) []string {
	env := make([]string, 0, len(vars))
	for key, value := range vars {
		env = append(env, key+"="+value)
	}
	return env
}

// needsOwnStart reports whether a function sets something that is read only
// when a process starts, by Node, the loader or the C library; a spare would
// have missed it.
func needsOwnStart(env []string) bool {
	for _, entry := range env {
		key, _, _ := strings.Cut(entry, "=")
		if key == "NODE_ENV" {
			continue // for the code, not for Node
		}
		for _, prefix := range []string{"NODE_", "UV_", "LD_", "SSL_CERT_", "OPENSSL_", "MALLOC_", "GLIBC_", "LANG", "LC_", "ICU_"} {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
	}
	return false
}
