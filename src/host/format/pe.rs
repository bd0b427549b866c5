//! PE images (PE Format, Microsoft, sections 3 to 5): headers, sections, the certificate table.
