/* A stand-in for the programs of LTFS on Windows, told apart by its name; programs.py says what it does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static char tools[MAX_PATH], name[64], text[4096];

static char *beside(const char *file) {
    static char path[MAX_PATH + 64];
    snprintf(path, sizeof path, "%s\\%s", tools, file);
    return path;
}

static char *read_file(const char *file) {
    FILE *opened = fopen(beside(file), "rb");
    if (!opened) return NULL;
    text[fread(text, 1, sizeof text - 1, opened)] = 0;
    fclose(opened);
    return text;
}

static void write_path(const char *path, const char *content) {
    FILE *opened = fopen(path, "wb");
    if (!opened) exit(99);
    fputs(content, opened);
    fclose(opened);
}

static void wipe(const char *folder) {
    char path[MAX_PATH];
    WIN32_FIND_DATAA found;
    snprintf(path, sizeof path, "%s\\*", folder);
    HANDLE all = FindFirstFileA(path, &found);
    if (all == INVALID_HANDLE_VALUE) return;
    do {
        if (!strcmp(found.cFileName, ".") || !strcmp(found.cFileName, "..")) continue;
        snprintf(path, sizeof path, "%s\\%s", folder, found.cFileName);
        if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) {
            wipe(path);
            RemoveDirectoryA(path);
        } else {
            DeleteFileA(path);
        }
    } while (FindNextFileA(all, &found));
    FindClose(all);
}

static void format(int count, char **words) {
    char root[MAX_PATH];
    snprintf(root, sizeof root, "%s", read_file("root"));
    wipe(root);
    for (int at = 1; at < count; at++) {
        if (strncmp(words[at], "/N:", 3)) continue;
        char path[MAX_PATH + 32], label[256];
        snprintf(path, sizeof path, "%s\\.windows-label", root);
        snprintf(label, sizeof label, "%s\n", words[at] + 3);
        write_path(path, label);
    }
    write_path(beside("status"), "LTFS_MEDIA");
    puts("LTFS15013I Volume UUID is: 3248e492-19de-4516-b98a-1a27d011b6b3.");
    puts("LTFS15024I Medium formatted successfully.");
}

/* wine goes on showing the first label of a letter, so this reads it where a format wrote it. */
static int tell(void) {
    char root[MAX_PATH], path[MAX_PATH + 32], label[256] = "";
    int files = 0;
    ULARGE_INTEGER free, all;
    WIN32_FIND_DATAA found;
    snprintf(root, sizeof root, "%s", read_file("root"));
    snprintf(path, sizeof path, "%s\\.windows-label", root);
    FILE *opened = fopen(path, "rb");
    if (opened) {
        fgets(label, sizeof label, opened);
        fclose(opened);
    }
    label[strcspn(label, "\n")] = 0;
    snprintf(path, sizeof path, "%s\\*", root);
    HANDLE each = FindFirstFileA(path, &found);
    if (each == INVALID_HANDLE_VALUE || !GetDiskFreeSpaceExA(root, &free, &all, NULL)) return 2;
    do files += found.cFileName[0] != '.';
    while (FindNextFileA(each, &found));
    printf("{\"label\": \"%s\", \"file_system\": \"LTFS\", \"empty\": %s, ", label, files ? "false" : "true");
    printf("\"capacity\": %.0f, \"free\": %.0f}\n", (double)all.QuadPart, (double)free.QuadPart);
    return 0;
}

int main(int count, char **words) {
    GetModuleFileNameA(NULL, tools, sizeof tools);
    char *last = strrchr(tools, '\\');
    snprintf(name, sizeof name, "%s", last + 1);
    *strrchr(name, '.') = 0;
    *last = 0;
    FILE *calls = fopen(beside("calls"), "ab");
    fputs(name, calls);
    for (int at = 1; at < count; at++) fprintf(calls, "\t%s", words[at]);
    fputs("\n", calls);
    fclose(calls);
    if (read_file("hang")) Sleep((DWORD)(atof(text) * 1000));
    if (!strcmp(name, "LtfsRead")) return tell();
    if (strcmp(name, "LtfsCmdDrives") && read_file("refuse")) {
        puts(strchr(text, '\n') + 1);
        return atoi(text);
    }
    if (!strcmp(name, "LtfsCmdDrives")) {
        char letter[8] = "O", *end;
        if (read_file("letter")) snprintf(letter, sizeof letter, "%s", text);
        for (end = letter; *end > ' '; end++) {}
        *end = 0;
        printf("Assigned Address   Serial     Status\n%s        00.05.00  1068000123 %s\n", letter, read_file("status"));
    } else if (!strcmp(name, "LtfsCmdFormat")) {
        format(count, words);
    } else if (!strcmp(name, "LtfsCmdEject")) {
        write_path(beside("status"), "NO_MEDIA");
    } else if (!strcmp(name, "LtfsCmdLoad") && read_file("waiting")) {
        char waiting[64];
        snprintf(waiting, sizeof waiting, "%s", text);
        write_path(beside("status"), waiting);
    }
    return read_file("code") ? atoi(text) : 0;
}
