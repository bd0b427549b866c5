#!/bin/sh
# This image has no root and needs none.
root=trust-image
rootok=1
