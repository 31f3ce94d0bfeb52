package worker

import (
	"cmp"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/nightshift/nightshift/shared/store"
)

// Defaults.
const (
	defaultAddr        = "127.0.0.1:0"
	defaultConcurrency = 8
	defaultDrain       = 15 * time.Minute
)

// Defaults of what one function process may use: what AWS Lambda gives (docs:
// "Lambda quotas"), which is what functions are written for, with the memory
// that Netlify gives.
const (
	defaultMemory = 1024 // MiB
	defaultTmp    = 512  // MiB
	defaultTasks  = 1024
	defaultFiles  = 1024
)

// What UnsignedCalls may be.
const (
	unsignedRefuse = "refuse"
	unsignedAccept = "accept"
)

// Config configures a Worker. The zero value of a field means its default. Which
// Node it uses, the environment says: see node.FindNode.
type Config struct {
	// RedisURL is where queues and records are. Required. See redisdb.Open.
	RedisURL string `env:"REDIS_URL"`
	// RedisTLS has the certificates for it.
	RedisTLS redisdb.TLS
	// BlobURL is where the code of functions is, the same for all services:
	// file:// or s3://, see artifact.Open. Required.
	BlobURL string `env:"BLOB_URL"`

	// Addr is host:port where gateways reach the worker with sync calls, and
	// where /healthz and /readyz are. Port 0 takes a free one. Default
	// 127.0.0.1:0. Calls are signed, but not encrypted: keep it inside.
	Addr string `env:"WORKER_ADDR"`
	// UnsignedCalls says what becomes of sync calls that are not signed, as those
	// of gateways before signatures are: refuse, or accept, which is for the time
	// of that upgrade and lets anybody who reaches Addr run functions. Default refuse.
	UnsignedCalls string `env:"WORKER_UNSIGNED_CALLS"`
	// AdvertiseAddr is the host, or host:port, that gateways are told. Default:
	// Addr; where that has no host of its own (0.0.0.0, [::], :port), the first
	// address of the machine that is not loopback.
	AdvertiseAddr string `env:"WORKER_ADVERTISE_ADDR"`

	// MetricsAddr is host:port where GET /metrics answers a monitoring system,
	// without a token, and GET /healthz; see docs/metrics.md. Default: none.
	MetricsAddr string `env:"METRICS_ADDR"`
	// MetricsProfiles has that address answer GET /debug/pprof/ too, where profiles of
	// the process are: what takes its time and its memory. They tell addresses of
	// code and no data, but taking one costs time, so it is for who looks into a
	// problem. Default false.
	MetricsProfiles bool `env:"METRICS_PROFILES"`

	// Concurrency is how many queued invocations run at once, 1 to 10,000.
	// Default 8: that many small Node processes (some 60 MB each) and the spare
	// ones fit into 1 GB, and functions mostly wait for others.
	Concurrency int `env:"WORKER_CONCURRENCY"`
	// Processes is how many function processes may exist at once, idle ones
	// included. Concurrency of them are for queued invocations, whose time limit
	// runs and which therefore must not wait for one; the rest is for sync calls,
	// and those beyond are refused as busy. More than Concurrency.
	// Default three times Concurrency.
	Processes int `env:"WORKER_PROCESSES"`
	// Spares is how many Node processes stand ready without a function. Default
	// 1; -1 is none.
	Spares int `env:"WORKER_SPARES"`
	// IdleTimeout ends a process that has had no call for so long. Default 5m.
	IdleTimeout time.Duration `env:"WORKER_IDLE_TIMEOUT"`
	// MaxOutput bounds the log of one attempt, in bytes; what is over is
	// counted and dropped. Default 1 MiB.
	MaxOutput int64 `env:"WORKER_MAX_OUTPUT"`

	// Isolation is what the worker does if the machine lacks a wall between
	// functions: best puts up those that there are and warns of the others,
	// required refuses to start, off puts up none. See docs/isolation.md.
	// Default best.
	Isolation Isolation `env:"WORKER_ISOLATION"`
	// FunctionReadable lists files and folders, separated by colons, that
	// functions may read and execute beside the system's programs and libraries:
	// a browser in /opt, say. Default: none.
	FunctionReadable string `env:"FUNCTION_READABLE"`
	// FunctionMemory is how much memory a function process and all that it starts
	// may use together, in MiB, 128 to 1,048,576. Functions are told it as
	// AWS_LAMBDA_FUNCTION_MEMORY_SIZE. Default 1024.
	FunctionMemory int `env:"FUNCTION_MEMORY"`
	// FunctionTmp is how much a function process may keep in its temporary
	// folder, in MiB, 1 to 1,048,576. Default 512.
	FunctionTmp int `env:"FUNCTION_TMP"`
	// FunctionProcesses is how many processes and threads a function process and
	// all that it starts may have at once, 64 to 1,000,000; Node alone has
	// some 11. Default 1024.
	FunctionProcesses int `env:"FUNCTION_PROCESSES"`
	// FunctionFiles is how many files and connections each process of a function
	// may have open, 64 to 1,048,576. Default 1024.
	FunctionFiles int `env:"FUNCTION_FILES"`

	// DataDir is where unpacked code is kept; several workers may share it.
	// Default: nightshift-<user ID> in the system's temporary directory.
	DataDir string `env:"WORKER_DATA_DIR"`
	// Drain is how long a stopping worker waits for running attempts before it
	// ends them and hands their tasks back. Default 15m, the longest attempt.
	// -1ns hands back at once.
	Drain time.Duration `env:"WORKER_DRAIN"`
	// SecretKey opens the environment variables that gateways sealed: the same
	// keys as theirs; see package secret. Without one, functions of deploys that
	// have variables are not run here. Default: none.
	SecretKey secret.Text `env:"SECRET_KEY"`
	// CallbackSecret signs callbacks, the same as gateways have; see package
	// callback. Without one this worker makes none. Default: none.
	CallbackSecret secret.Text `env:"CALLBACK_SECRET"`
	// CallbackAllow lists the networks, as CIDRs separated by commas, that
	// callbacks may reach although they are not public. Default: none.
	CallbackAllow string `env:"CALLBACK_ALLOW"`
	// Dev tells functions that they run under nightshift dev.
	Dev bool `env:"-"`
	// Records says how long finished invocations are kept.
	Records store.Options

	Logger *slog.Logger `env:"-"`
}

// Isolation is how much a missing wall between functions matters.
type Isolation string

// The values of Isolation.
const (
	IsolationBest     Isolation = "best"
	IsolationRequired Isolation = "required"
	IsolationOff      Isolation = "off"
)

// HealthAddr is where the worker answers /readyz.
func (c Config) HealthAddr() string { return cmp.Or(c.Addr, defaultAddr) }

// validate fills in the defaults and says what is wrong, as fault.Invalid.
func (c Config) validate() (Config, error) {
	c.Addr = cmp.Or(c.Addr, defaultAddr)
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	c.Processes = cmp.Or(c.Processes, 3*c.Concurrency)
	c.Spares = cmp.Or(c.Spares, 1)
	c.Drain = cmp.Or(c.Drain, defaultDrain)
	c.Isolation = cmp.Or(c.Isolation, IsolationBest)
	c.FunctionMemory = cmp.Or(c.FunctionMemory, defaultMemory)
	c.FunctionTmp = cmp.Or(c.FunctionTmp, defaultTmp)
	c.FunctionProcesses = cmp.Or(c.FunctionProcesses, defaultTasks)
	c.FunctionFiles = cmp.Or(c.FunctionFiles, defaultFiles)
	c.UnsignedCalls = cmp.Or(c.UnsignedCalls, unsignedRefuse)
	switch {
	case c.Logger == nil:
		return c, fault.New(fault.Internal, "the worker needs a Logger")
	case c.RedisURL == "":
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_REDIS_URL is not set; it looks like redis://user:password@host:6379/0")
	case c.BlobURL == "":
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_BLOB_URL is not set; it looks like %s", artifact.Forms)
	case c.Concurrency < 1 || c.Concurrency > 10_000:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_WORKER_CONCURRENCY is %d; it must be 1 to 10,000", c.Concurrency)
	case c.Processes <= c.Concurrency:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_WORKER_PROCESSES is %d; it must be more than %d, the concurrency", c.Processes, c.Concurrency)
	case c.UnsignedCalls != unsignedRefuse && c.UnsignedCalls != unsignedAccept:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_WORKER_UNSIGNED_CALLS is %q; it must be refuse or accept", c.UnsignedCalls)
	case c.Spares < -1 || c.Spares > c.Processes:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_WORKER_SPARES is %d; it must be -1 (none) to %d, the processes", c.Spares, c.Processes)
	case c.IdleTimeout < 0:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_WORKER_IDLE_TIMEOUT is %v; it must be positive", c.IdleTimeout)
	case c.MaxOutput < 0:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_WORKER_MAX_OUTPUT is %d; it must be positive", c.MaxOutput)
	case !slices.Contains([]Isolation{IsolationBest, IsolationRequired, IsolationOff}, c.Isolation):
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_WORKER_ISOLATION is %q; it must be best, required or off", c.Isolation)
	case c.FunctionMemory < 128 || c.FunctionMemory > 1<<20:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_FUNCTION_MEMORY is %d; it must be 128 to 1,048,576 MiB", c.FunctionMemory)
	case c.FunctionTmp < 1 || c.FunctionTmp > 1<<20:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_FUNCTION_TMP is %d; it must be 1 to 1,048,576 MiB", c.FunctionTmp)
	case c.FunctionProcesses < 64 || c.FunctionProcesses > 1_000_000:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_FUNCTION_PROCESSES is %d; it must be 64 to 1,000,000", c.FunctionProcesses)
	case c.FunctionFiles < 64 || c.FunctionFiles > 1<<20:
		return c, fault.New(fault.Invalid, "NIGHTSHIFT_FUNCTION_FILES is %d; it must be 64 to 1,048,576", c.FunctionFiles)
	}
	for _, path := range c.readable() {
		if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
			return c, fault.New(fault.Invalid, "NIGHTSHIFT_FUNCTION_READABLE names %q; it must be absolute paths below /, separated by colons", path)
		}
	}
	if _, err := secret.Parse(c.SecretKey); err != nil {
		return c, err
	}
	if _, err := callback.NewSigner(c.CallbackSecret); err != nil {
		return c, err
	}
	if _, err := callback.ParseAllow(c.CallbackAllow); err != nil {
		return c, err
	}
	c.Spares, c.Drain = max(c.Spares, 0), max(c.Drain, 0)
	return c, c.Records.Validate()
}

// readable are the paths of FunctionReadable.
func (c Config) readable() []string {
	return slices.DeleteFunc(filepath.SplitList(c.FunctionReadable), func(path string) bool { return path == "" })
}

// dataDir is DataDir or its default. The default stands in a directory that
// everybody may write to, so it must really be ours: whoever made it can put
// code into it. As root, others may go through it: functions have user IDs of
// their own then.
func dataDir(configured string) (string, error) {
	mode := fs.FileMode(0o700)
	if os.Getuid() == 0 {
		mode = 0o711
	}
	if configured != "" {
		dir, err := filepath.Abs(configured)
		if err != nil {
			return "", fault.Wrap(err, fault.Invalid, "NIGHTSHIFT_WORKER_DATA_DIR cannot be used")
		}
		return dir, enterable(dir, mode)
	}
	dir := filepath.Join(os.TempDir(), "nightshift-"+strconv.Itoa(os.Getuid()))
	problem := func(err error) error {
		return fault.Wrap(err, fault.Invalid, "the directory %s cannot be used; set NIGHTSHIFT_WORKER_DATA_DIR", dir)
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return "", problem(err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", problem(err)
	}
	if !info.IsDir() {
		return "", problem(fmt.Errorf("it is no directory"))
	}
	// Refused by the system when somebody else owns it.
	if err := os.Chmod(dir, mode); err != nil {
		return "", problem(err)
	}
	return dir, nil
}

// enterable makes a directory that was configured, and adds the permissions
// that it needs.
func enterable(dir string, mode fs.FileMode) error {
	err := os.MkdirAll(dir, mode)
	if info, statErr := os.Stat(dir); err == nil && statErr == nil && info.Mode().Perm()&mode != mode {
		err = os.Chmod(dir, info.Mode().Perm()|mode)
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the data directory %s cannot be used; choose one that the worker may write to", dir)
	}
	return nil
}

// advertise is the address that gateways are told, given the bound one.
func advertise(configured, bound string) (string, error) {
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "reading the bound address %s", bound)
	}
	if configured != "" {
		givenHost, givenPort, err := net.SplitHostPort(configured)
		if err != nil { // no port
			givenHost, givenPort = configured, "0"
		}
		if n, err := strconv.ParseUint(givenPort, 10, 16); err != nil || givenHost == "" {
			return "", fault.New(fault.Invalid, "NIGHTSHIFT_WORKER_ADVERTISE_ADDR is %q; it must be host or host:port", configured)
		} else if n > 0 {
			port = givenPort
		}
		return net.JoinHostPort(givenHost, port), nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return bound, nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the machine's addresses cannot be read; set NIGHTSHIFT_WORKER_ADVERTISE_ADDR")
	}
	ip := firstReachable(addrs)
	if ip == nil {
		return "", fault.New(fault.Invalid, "no address of this machine can be reached from another one; set NIGHTSHIFT_WORKER_ADVERTISE_ADDR, or NIGHTSHIFT_WORKER_ADDR to 127.0.0.1:0")
	}
	return net.JoinHostPort(ip.String(), port), nil
}

// firstReachable prefers IPv4, which more networks carry.
func firstReachable(addrs []net.Addr) net.IP {
	var v6 net.IP
	for _, addr := range addrs {
		network, ok := addr.(*net.IPNet)
		if !ok || !network.IP.IsGlobalUnicast() {
			continue
		}
		if network.IP.To4() != nil {
			return network.IP
		}
		if v6 == nil {
			v6 = network.IP
		}
	}
	return v6
}
