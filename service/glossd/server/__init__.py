"""The gRPC shell: conversion, admission, errors to status, health, drain."""
