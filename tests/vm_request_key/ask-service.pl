#!/usr/bin/perl
# SOCKET: asks the service there for this program's key, in its keyring, and shows the answer.
socket(SERVICE, 1, 1, 0) && connect(SERVICE, pack("S a108", 1, shift)) or die $!;
$/ = "\0";
syswrite(SERVICE, '{"method":"trust.derive.Key","parameters":{"mode":"path","deliver":"keyring"}}' . $/);
chomp(my $answer = <SERVICE>);
print "$answer\n";
