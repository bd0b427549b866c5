//! `SignedData` of PKCS #7 and CMS (RFC 2315, RFC 5652), as Authenticode and authenticated UEFI variables use it.
