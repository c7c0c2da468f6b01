#include "runtime/checkpoint/hdf5_image.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <new>

namespace tessera {

namespace {

// What the library sees as one open file. Its own part comes first, as the library demands.
struct OpenImage {
  H5FD_t library_part;
  Hdf5Image* image;
  haddr_t end_of_allocation;
};

constexpr haddr_t address_max = static_cast<haddr_t>(std::numeric_limits<std::int64_t>::max());

OpenImage& open_image(H5FD_t* file) { return *reinterpret_cast<OpenImage*>(file); }
const OpenImage& open_image(const H5FD_t* file) { return *reinterpret_cast<const OpenImage*>(file); }

H5FD_t* open_file(const char*, unsigned flags, hid_t access_properties, haddr_t) {
  const auto* const image = static_cast<Hdf5Image* const*>(H5Pget_driver_info(access_properties));
  if (image == nullptr) return nullptr;
  if (flags & H5F_ACC_TRUNC) (*image)->set_size(0);
  auto* const file = new (std::nothrow) OpenImage{{}, *image, 0};
  return file == nullptr ? nullptr : &file->library_part;
}

herr_t close_file(H5FD_t* file) {
  delete &open_image(file);
  return 0;
}

int compare_files(const H5FD_t* a, const H5FD_t* b) {
  const auto* const first = open_image(a).image;
  const auto* const second = open_image(b).image;
  return first == second ? 0 : std::less<>{}(first, second) ? -1 : 1;
}

// The features of the library's driver for ordinary files that shape the layout.
herr_t query_features(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA;
  return 0;
}

haddr_t end_of_allocation(const H5FD_t* file, H5FD_mem_t) { return open_image(file).end_of_allocation; }

herr_t set_end_of_allocation(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  open_image(file).end_of_allocation = address;
  return 0;
}

haddr_t end_of_file(const H5FD_t* file, H5FD_mem_t) { return open_image(file).image->size(); }

herr_t read_file(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, std::size_t count, void* out) {
  open_image(file).image->read(address, count, static_cast<std::byte*>(out));
  return 0;
}

herr_t write_file(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, std::size_t count, const void* bytes) {
  try {
    open_image(file).image->write(address, count, static_cast<const std::byte*>(bytes));
    return 0;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

herr_t truncate_file(H5FD_t* file, hid_t, hbool_t) {
  open_image(file).image->set_size(open_image(file).end_of_allocation);
  return 0;
}

const H5FD_class_t& driver_class() {
  static const H5FD_class_t driver = [] {
    H5FD_class_t result{};
    result.name = "tessera_image";
    result.maxaddr = address_max;
    result.fc_degree = H5F_CLOSE_STRONG;
    result.fapl_size = sizeof(Hdf5Image*);
    result.open = open_file;
    result.close = close_file;
    result.cmp = compare_files;
    result.query = query_features;
    result.get_eoa = end_of_allocation;
    result.set_eoa = set_end_of_allocation;
    result.get_eof = end_of_file;
    result.read = read_file;
    result.write = write_file;
    result.truncate = truncate_file;
    constexpr H5FD_mem_t free_lists[H5FD_MEM_NTYPES] = H5FD_FLMAP_DICHOTOMY;
    std::copy(std::begin(free_lists), std::end(free_lists), std::begin(result.fl_map));
    return result;
  }();
  return driver;
}

}  // namespace

Hdf5Id Hdf5Image::register_driver() { return {H5FDregister(&driver_class()), H5FDunregister}; }

bool Hdf5Image::use_in(hid_t access_properties, const Hdf5Id& driver) {
  Hdf5Image* self = this;
  return driver && H5Pset_driver(access_properties, driver.get(), &self) >= 0;
}

void Hdf5Image::read(std::uint64_t address, std::size_t count, std::byte* out) const {
  while (count > 0) {
    const std::uint64_t inside = address % page_bytes;
    const std::size_t part = std::min<std::size_t>(count, page_bytes - inside);
    const auto page = pages_.find(address / page_bytes);
    if (page == pages_.end()) {
      std::memset(out, 0, part);
    } else {
      std::memcpy(out, page->second.data() + inside, part);
    }
    address += part;
    out += part;
    count -= part;
  }
}

void Hdf5Image::mark_written(std::uint64_t begin, std::uint64_t end) {
  auto next = written_.upper_bound(begin);
  if (next != written_.begin() && std::prev(next)->second >= begin) {
    --next;
    begin = next->first;
  }
  // All runs that touch the new one melt into it.
  while (next != written_.end() && next->first <= end) {
    end = std::max(end, next->second);
    next = written_.erase(next);
  }
  written_.emplace(begin, end);
}

void Hdf5Image::write(std::uint64_t address, std::size_t count, const std::byte* bytes) {
  size_ = std::max(size_, address + count);
  mark_written(address, address + count);
  while (count > 0) {
    const std::uint64_t inside = address % page_bytes;
    const std::size_t part = std::min<std::size_t>(count, page_bytes - inside);
    auto& page = pages_.try_emplace(address / page_bytes).first->second;
    std::memcpy(page.data() + inside, bytes, part);
    address += part;
    bytes += part;
    count -= part;
  }
}

}  // namespace tessera
