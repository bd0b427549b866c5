//! PE images without code.

/// A PE image with these sections, long names in the string table as linkers write them.
#[must_use]
pub fn pe_image(sections: &[(&str, &[u8])]) -> Vec<u8> {
    const HEADERS: usize = 0x400;
    let count = u16::try_from(sections.len()).expect("it fits");
    let mut strings = vec![0; 4];
    let (mut table, mut data) = (Vec::new(), Vec::new());
    for (index, (name, contents)) in sections.iter().enumerate() {
        // Only what does not fit is in the string table.
        let fits = name.len() <= 8;
        let mut short = if fits { name.as_bytes().to_vec() } else { format!("/{}", strings.len()).into_bytes() };
        short.resize(8, 0);
        if !fits {
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        let raw = contents.len().next_multiple_of(0x200);
        table.extend(short);
        for field in [contents.len(), 0x1000 * (index + 1), raw, HEADERS + data.len(), 0, 0, 0, 0x4000_0040] {
            table.extend(u32::try_from(field).expect("it fits").to_le_bytes());
        }
        data.extend_from_slice(contents);
        data.resize(data.len().next_multiple_of(0x200), 0);
    }
    let mut image = vec![0; 0x40];
    image[..2].copy_from_slice(b"MZ");
    image[0x3c] = 0x40;
    image.extend(b"PE\0\0");
    image.extend(0x8664_u16.to_le_bytes());
    image.extend(count.to_le_bytes());
    for field in [0, HEADERS + data.len(), 0] {
        image.extend(u32::try_from(field).expect("it fits").to_le_bytes());
    }
    image.extend(240_u16.to_le_bytes());
    image.extend(0x0206_u16.to_le_bytes());
    let optional = image.len();
    image.resize(optional + 240, 0);
    let mut put = |at: usize, bytes: &[u8]| image[optional + at..optional + at + bytes.len()].copy_from_slice(bytes);
    put(0, &0x20b_u16.to_le_bytes());
    put(32, &0x1000_u32.to_le_bytes());
    put(36, &0x200_u32.to_le_bytes());
    put(56, &(0x1000 * u32::from(count + 1)).to_le_bytes());
    put(60, &u32::try_from(HEADERS).expect("it fits").to_le_bytes());
    put(68, &10_u16.to_le_bytes());
    put(108, &16_u32.to_le_bytes());
    image.extend(table);
    image.resize(HEADERS, 0);
    let length = u32::try_from(strings.len()).expect("it fits");
    strings[..4].copy_from_slice(&length.to_le_bytes());
    [image, data, strings].concat()
}
