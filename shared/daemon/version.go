package daemon

import "runtime/debug"

// version is set by the linker where a version is known that the Go command
// cannot know: -X github.com/nightshift/nightshift/shared/daemon.version=v1.2.3.
var version string

// Version says which version of our code the process runs: as the linker was
// told, else as the Go command has found it in the repository, else "dev".
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
