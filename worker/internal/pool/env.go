package pool

import (
	"path"
	"path/filepath"
	"strings"
)

// runtimeAPI tells a process where its API is.
const runtimeAPI = "AWS_LAMBDA_RUNTIME_API"

// memoryMB is what functions are told they have. Nothing enforces it yet.
const memoryMB = "1024"

// defaultRegion is where functions are told they run, for AWS clients that
// insist on a region.
const defaultRegion = "us-east-1"

// baseVars is the environment of every process. Nothing of the worker's own
// gets in: it holds the keys to the house.
func (p *Pool) baseVars() map[string]string {
	searchPath := "/usr/local/bin:/usr/bin:/bin"
	if dir := filepath.Dir(p.cfg.Node); p.cfg.Node != "" && !strings.Contains(":"+searchPath+":", ":"+dir+":") {
		searchPath = dir + ":" + searchPath
	}
	return map[string]string{
		"PATH":   searchPath,
		"HOME":   "/tmp",
		"TMPDIR": "/tmp",
		"LANG":   "en_US.UTF-8", // as on Lambda; Node formats numbers and dates by it
		"TZ":     "UTC",
	}
}

// functionVars are the variables of a function: its own, and Lambda's.
func functionVars(code *Code) map[string]string {
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
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memoryMB,
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      "$LATEST",
		"LAMBDA_TASK_ROOT":                code.Dir,
		"_HANDLER":                        handler,
	} {
		vars[key] = value
	}
	delete(vars, runtimeAPI)
	return vars
}

// spareEnv is the environment of a process that has no function yet.
func (p *Pool) spareEnv(addr string) []string {
	vars := p.baseVars()
	vars[runtimeAPI] = addr
	return entries(vars)
}

// functionEnv is the environment of a process that is started for a function.
func (p *Pool) functionEnv(code *Code, addr string) []string {
	vars := p.baseVars()
	for key, value := range functionVars(code) {
		vars[key] = value
	}
	vars[runtimeAPI] = addr
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
