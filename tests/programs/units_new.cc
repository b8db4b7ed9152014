// C++ under libquicklime-malloc.so: every form of new and delete, and what happens without memory.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#define CHECK(cond)                                                                       \
    do {                                                                                  \
        checks++;                                                                         \
        if (!(cond)) {                                                                    \
            std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond); \
            std::_Exit(1);                                                                \
        }                                                                                 \
    } while (0)

static unsigned long checks;
static volatile std::size_t far_too_much = SIZE_MAX / 2;

struct alignas(256) Wide {
    char bytes[300];
};

static unsigned handled;
static void give_up_the_third_time()
{
    if (++handled == 3)
        std::set_new_handler(nullptr);
}

template <typename Call> static bool throws(Call call)
{
    try {
        call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void every_form()
{
    const std::align_val_t align{512};
    for (std::size_t bytes = 0; bytes < 100000; bytes = bytes * 2 + 1) {
        void *p[] = {operator new(bytes), operator new[](bytes), operator new(bytes, std::nothrow),
                                                                 operator new[](bytes,
                                                                                std::nothrow)};
        void *a[] = {operator new(bytes, align), operator new[](bytes, align),
                                                 operator new(bytes, align, std::nothrow),
                                                 operator new[](bytes, align, std::nothrow)};
        for (void *each : p)
            CHECK(each != nullptr && reinterpret_cast<std::uintptr_t>(each) % 16 == 0);
        for (void *each : a)
            CHECK(each != nullptr && reinterpret_cast<std::uintptr_t>(each) % 512 == 0);
        operator delete(p[0]);
        operator delete[](p[1], bytes);
        operator delete(p[2], std::nothrow);
        operator delete[](p[3], std::nothrow);
        operator delete(a[0], align);
        operator delete[](a[1], bytes, align);
        operator delete(a[2], align, std::nothrow);
        operator delete[](a[3], align, std::nothrow);
    }
    std::unique_ptr<Wide> wide(new Wide);
    CHECK(reinterpret_cast<std::uintptr_t>(wide.get()) % 256 == 0);
}

static void without_memory()
{
    CHECK(throws([] { operator delete(operator new(far_too_much)); }));
    CHECK(throws([] { operator delete[](operator new[](far_too_much)); }));
    CHECK(throws([] { operator delete(operator new(far_too_much, std::align_val_t(64))); }));
    CHECK(throws([] { std::vector<char> v(far_too_much - 100); }));
    CHECK(operator new(far_too_much, std::nothrow) == nullptr);
    CHECK(operator new[](far_too_much, std::align_val_t(64), std::nothrow) == nullptr);
    std::set_new_handler(give_up_the_third_time);
    CHECK(throws([] { operator delete(operator new(far_too_much)); }) && handled == 3);
    handled = 0;
    std::set_new_handler(give_up_the_third_time);
    CHECK(operator new(far_too_much, std::nothrow) == nullptr &&handled == 3);
}

struct AtTheEnd {
    std::string text;
    ~AtTheEnd() { text += std::string(1000, 'y'); }
};
static thread_local AtTheEnd at_the_end;

static void containers()
{
    std::map<std::string, std::vector<int>> map;
    std::vector<std::thread> threads;
    for (int i = 0; i < 20000; i++)
        map[std::to_string(i * 7919 % 5000) + std::string(static_cast<std::size_t>(i % 60), 'x')]
            .push_back(i);
    std::size_t count = 0;
    for (const auto &each : map)
        count += each.second.size();
    CHECK(count == 20000);
    for (int i = 0; i < 50; i++)
        threads.emplace_back([] { at_the_end.text = std::string(5000, 'z'); });
    for (auto &each : threads)
        each.join();
}

int main()
{
    every_form();
    without_memory();
    containers();
    std::printf("ok new: %lu checks\n", checks);
    return 0;
}
