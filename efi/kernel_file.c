/* Where the kernel comes from. See kernel_file.h. source: UEFI "EFI_FILE_PROTOCOL", "Hard Drive
 * Device Path", "GPT Header". */
#include "kernel_file.h"

#include "bytes.h"
#include "fail.h"
#include "firmware.h"
#include "print.h"
#include "unpack.h"

static EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
static EFI_GUID device_path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
static EFI_GUID block_io_guid = EFI_BLOCK_IO_PROTOCOL_GUID;

#define FILE_BYTES_MAX (1ull << 30)

/* The volume we were loaded from; NULL if the firmware does not say. */
static EFI_HANDLE our_volume(void)
{
    EFI_LOADED_IMAGE *loaded;
    if (EFI_ERROR(firmware_protocol(image_handle, &loaded_image_guid, (void **)&loaded)))
        return NULL;
    return loaded->DeviceHandle;
}

/* "/boot/k.elf" for \boot\k.elf, boot/k.elf, ... False if it is too long. */
static bool protocol_path(const char *from, char to[static KERNEL_PATH_MAX])
{
    UINTN n = 0;
    if (*from != '\\' && *from != '/')
        to[n++] = '/';
    for (; *from; from++) {
        if (n + 1 == KERNEL_PATH_MAX)
            return false;
        to[n++] = *from == '\\' ? '/' : *from;
    }
    to[n] = 0;
    return true;
}

static void firmware_path(const char *from, CHAR16 to[static KERNEL_PATH_MAX])
{
    do {
        *to++ = *from == '/' ? L'\\' : (CHAR16)(uint8_t)*from;
    } while (*from++);
}

static EFI_STATUS file_size(EFI_FILE_HANDLE file, uint64_t *bytes)
{
    EFI_STATUS status = file->SetPosition(file, UINT64_MAX); /* the end of the file */
    if (!EFI_ERROR(status))
        status = file->GetPosition(file, bytes);
    if (!EFI_ERROR(status))
        status = file->SetPosition(file, 0);
    return status;
}

/* Pages for out->bytes bytes, zeroed behind them. */
static EFI_STATUS alloc_data(struct kernel_file *out, uint8_t **data)
{
    if (out->bytes == 0 || out->bytes > FILE_BYTES_MAX)
        return FAIL(EFI_UNSUPPORTED, "read %s of %lu bytes (1 byte to 1 GiB is possible)",
                    out->path, out->bytes);
    UINTN npages = (out->bytes + PAGE_BYTES - 1) / PAGE_BYTES;
    EFI_STATUS status = firmware_alloc_raw(npages, PAGE_BYTES, (void **)data);
    if (EFI_ERROR(status))
        return FAIL(status, "allocate %lu bytes for the file %s", out->bytes, out->path);
    memset(*data + out->bytes, 0, npages * PAGE_BYTES - out->bytes);
    out->data = *data;
    return EFI_SUCCESS;
}

static EFI_STATUS read_all(EFI_FILE_HANDLE file, struct kernel_file *out)
{
    EFI_STATUS status = file_size(file, &out->bytes);
    if (EFI_ERROR(status))
        return FAIL(status, "find out the size of %s", out->path);
    uint8_t *data;
    status = alloc_data(out, &data);
    if (EFI_ERROR(status))
        return status;
    for (uint64_t done = 0; done < out->bytes;) {
        UINTN part = out->bytes - done;
        status = file->Read(file, &part, data + done);
        if (!EFI_ERROR(status) && part == 0)
            status = EFI_END_OF_FILE;
        if (EFI_ERROR(status))
            return FAIL(status, "read %s at byte %lu of %lu", out->path, done, out->bytes);
        done += part;
    }
    return EFI_SUCCESS;
}

static EFI_STATUS read_from_volume(struct kernel_file *out)
{
    EFI_FILE_IO_INTERFACE *volume;
    EFI_FILE_HANDLE directory, file;
    EFI_HANDLE device = our_volume();
    EFI_STATUS status = EFI_NOT_FOUND;
    if (device)
        status = firmware_protocol(device, &file_system_guid, (void **)&volume);
    if (EFI_ERROR(status))
        return FAIL(status, "look for %s: we were not loaded from a volume with files", out->path);
    status = volume->OpenVolume(volume, &directory);
    if (EFI_ERROR(status))
        return FAIL(status, "open the volume we were loaded from");

    static CHAR16 name[KERNEL_PATH_MAX];
    firmware_path(out->path, name);
    status = directory->Open(directory, &file, name, EFI_FILE_MODE_READ, 0);
    directory->Close(directory);
    if (EFI_ERROR(status))
        return FAIL(status, "open the kernel %s on the volume we were loaded from", out->path);
    status = read_all(file, out);
    file->Close(file);
    return status;
}

static EFI_STATUS fail_unpack(const struct kernel_file *file, const struct fault *f)
{
    if (f->where)
        return FAIL(EFI_VOLUME_CORRUPTED, "unpack the kernel inside %s: %s %lu: %s 0x%lx %s",
                    file->path, f->where, f->index, f->field, f->value, f->what);
    return FAIL(EFI_VOLUME_CORRUPTED, "unpack the kernel inside %s: %s 0x%lx %s", file->path,
                f->field, f->value, f->what);
}

/* Ours is carried packed; all of it is unpacked, since the protocol shows a kernel its file. */
static EFI_STATUS unpack_own(struct kernel_file *out)
{
    struct packed packed;
    struct fault fault;
    uint8_t *data;
    if (!unpack_parse(carried->kernel, carried->kernel_bytes, &packed, &fault))
        return fail_unpack(out, &fault);
    out->bytes = packed.bytes;
    EFI_STATUS status = alloc_data(out, &data);
    if (EFI_ERROR(status))
        return status;
    return unpack(&packed, data, &fault) ? EFI_SUCCESS : fail_unpack(out, &fault);
}

EFI_STATUS kernel_file_open(const struct options *options, struct kernel_file *out)
{
    *out = (struct kernel_file){.inside = !options->kernel};
    if (!protocol_path(out->inside ? "/EFI/BOOT/BOOTX64.EFI" : options->kernel, out->path))
        return FAIL(EFI_INVALID_PARAMETER, "use a kernel path of more than %u characters",
                    KERNEL_PATH_MAX - 1);
    return out->inside ? unpack_own(out) : read_from_volume(out);
}

/* A device path node; fields by offset, since nodes keep no alignment. */
enum {
    NODE_BYTES = 4,
    NODE_END = 0x7f,
    NODE_MEDIA = 4,
    MEDIA_HARD_DRIVE = 1,
    MEDIA_CD_ROM = 2,
    DRIVE_NUMBER = 4,
    DRIVE_SIGNATURE = 24,
    DRIVE_SIGNATURE_TYPE = 41,
    DRIVE_BYTES = 42,
    NODES_MAX = 64,
};

/* The disk that the partition is on is the device whose path ends before the partition's node. */
static EFI_STATUS disk_of(const uint8_t *path, UINTN bytes, EFI_BLOCK_IO **out)
{
    static uint8_t parent[1024]; /* longer paths exist on fabrics we do not boot from */
    if (bytes + NODE_BYTES > sizeof parent)
        return EFI_BUFFER_TOO_SMALL;
    memcpy(parent, path, bytes);
    memcpy(parent + bytes, (const uint8_t[]){NODE_END, 0xff, NODE_BYTES, 0}, NODE_BYTES);
    EFI_DEVICE_PATH *rest = (EFI_DEVICE_PATH *)parent; /* bytes, as device paths are */
    EFI_HANDLE disk;
    EFI_STATUS status = BS->LocateDevicePath(&block_io_guid, &rest, &disk);
    if (EFI_ERROR(status))
        return status;
    if (rest->Type != NODE_END)
        return EFI_NOT_FOUND; /* only something above the disk answered */
    return firmware_protocol(disk, &block_io_guid, (void **)out);
}

/* The GPT header lies in the second block and has the disk's GUID at offset 56. */
static void read_disk_uuid(const uint8_t *path, UINTN bytes, struct limine_uuid *out)
{
    EFI_BLOCK_IO *disk;
    if (EFI_ERROR(disk_of(path, bytes, &disk)) || disk->Media->BlockSize < 512)
        return;
    UINTN mark = firmware_mark(), block = disk->Media->BlockSize;
    uint8_t *header;
    if (EFI_ERROR(firmware_alloc_raw((block + PAGE_BYTES - 1) / PAGE_BYTES, PAGE_BYTES,
                                     (void **)&header)))
        return;
    if (!EFI_ERROR(disk->ReadBlocks(disk, disk->Media->MediaId, 1, block, header)) &&
        !memcmp(header, "EFI PART", 8))
        memcpy(out, header + 56, sizeof *out);
    firmware_free_since(mark);
}

static void describe_partition(const uint8_t *path, const uint8_t *node, struct limine_file *out)
{
    out->partition_index = load32(node + DRIVE_NUMBER);
    if (node[DRIVE_SIGNATURE_TYPE] == SIGNATURE_TYPE_MBR)
        out->mbr_disk_id = load32(node + DRIVE_SIGNATURE);
    if (node[DRIVE_SIGNATURE_TYPE] == SIGNATURE_TYPE_GUID) {
        memcpy(&out->gpt_part_uuid, node + DRIVE_SIGNATURE, sizeof out->gpt_part_uuid);
        read_disk_uuid(path, (UINTN)(node - path), &out->gpt_disk_uuid);
    }
}

void kernel_file_volume(struct limine_file *out)
{
    const uint8_t *path;
    EFI_HANDLE device = our_volume();
    if (!device || EFI_ERROR(firmware_protocol(device, &device_path_guid, (void **)&path)))
        return;
    const uint8_t *node = path;
    for (int i = 0; i < NODES_MAX && node[0] != NODE_END; i++) {
        uint16_t bytes = load16(node + 2);
        if (bytes < NODE_BYTES)
            return;
        if (node[0] == NODE_MEDIA && node[1] == MEDIA_HARD_DRIVE && bytes >= DRIVE_BYTES)
            describe_partition(path, node, out);
        if (node[0] == NODE_MEDIA && node[1] == MEDIA_CD_ROM)
            out->media_type = 1;
        node += bytes;
    }
}
