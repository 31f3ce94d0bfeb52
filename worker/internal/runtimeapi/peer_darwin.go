package runtimeapi

import (
	"errors"
	"net"
)

func otherEnd(net.Conn) (Socket, error) {
	return Socket{}, errors.New("this system does not tell whose connection one is")
}

func inodeOf(net.Conn) (uint64, error) { return 0, nil }

func stands(net.Conn) bool { return true }
