package telemetry

import (
	"cmp"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/nightshift/nightshift/shared/fault"
)

// Variables of the OpenTelemetry specification that decide here. The SDK and
// its exporters read the others.
const (
	envDisabled       = "OTEL_SDK_DISABLED"
	envExporter       = "OTEL_TRACES_EXPORTER"
	envEndpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	envTracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	envProtocol       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	envTracesProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	envSampler        = "OTEL_TRACES_SAMPLER"
	envSamplerArg     = "OTEL_TRACES_SAMPLER_ARG"
)

// Protocols of OTLP.
const (
	protocolHTTP = "http/protobuf"
	protocolGRPC = "grpc"
)

type settings struct {
	on       bool
	protocol string
}

// readSettings reads what decides whether and how spans are sent. What the SDK
// would only grumble about, and then do something else, is an error here.
func readSettings() (settings, error) {
	set := settings{protocol: cmp.Or(env(envTracesProtocol), env(envProtocol), protocolHTTP)}
	asked := env(envEndpoint) != "" || env(envTracesEndpoint) != ""
	switch exporter := env(envExporter); {
	case strings.EqualFold(env(envDisabled), "true"), exporter == "none", exporter == "" && !asked:
		return set, nil
	case exporter != "" && exporter != "otlp":
		return set, invalid("%s is %q; it must be otlp or none", envExporter, exporter)
	}
	set.on = true
	if set.protocol != protocolHTTP && set.protocol != protocolGRPC {
		return set, invalid("%s is %q; it must be %s or %s", envProtocol, set.protocol, protocolHTTP, protocolGRPC)
	}
	for _, name := range []string{envEndpoint, envTracesEndpoint} {
		if err := checkEndpoint(name, env(name)); err != nil {
			return set, err
		}
	}
	return set, checkSampler(env(envSampler), env(envSamplerArg))
}

func checkEndpoint(name, value string) error {
	if value == "" {
		return nil
	}
	if u, err := url.Parse(value); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return invalid("%s cannot be used; it looks like http://collector:4318", name) // it may hold a password
	}
	return nil
}

func checkSampler(sampler, arg string) error {
	switch strings.ToLower(sampler) {
	case "", "always_on", "always_off", "parentbased_always_on", "parentbased_always_off":
		return nil
	case "traceidratio", "parentbased_traceidratio":
		if share, err := strconv.ParseFloat(arg, 64); arg != "" && (err != nil || !(share >= 0 && share <= 1)) {
			return invalid("%s is %q; it must be a number from 0 to 1", envSamplerArg, arg)
		}
		return nil
	default:
		return invalid("%s is %q; it must be always_on, always_off or traceidratio, or one of them after parentbased_", envSampler, sampler)
	}
}

func env(name string) string { return strings.TrimSpace(os.Getenv(name)) }

func invalid(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
