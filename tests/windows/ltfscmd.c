/* A stand-in for the programs of LTFS on Windows: says its name and its words to the keeper of the drive on
   this host (hardware.py), prints the answer and returns what that says. */
#include <winsock2.h>
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char tools[MAX_PATH], said[65536], heard[65536];

static int keeper(void) {
    char path[MAX_PATH + 8];
    int port = 0;
    snprintf(path, sizeof path, "%s\\port", tools);
    FILE *file = fopen(path, "rb");
    if (!file || fscanf(file, "%d", &port) != 1) exit(98);
    fclose(file);
    return port;
}

int main(int count, char **words) {
    GetModuleFileNameA(NULL, tools, sizeof tools);
    char *name = strrchr(tools, '\\');
    *name++ = 0;
    *strrchr(name, '.') = 0;
    int length = snprintf(said, sizeof said, "%s\t%s", tools, name);
    for (int at = 1; at < count; at++)
        length += snprintf(said + length, sizeof said - length, "\t%s", words[at]);
    said[length++] = '\n';

    WSADATA data;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((u_short)keeper())};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    WSAStartup(MAKEWORD(2, 2), &data);
    SOCKET line = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(line, (struct sockaddr *)&place, sizeof place)) return 97;
    send(line, said, length, 0);
    int all = 0, some;
    while (all < (int)sizeof heard - 1 && (some = recv(line, heard + all, sizeof heard - 1 - all, 0)) > 0) all += some;
    char *text = strchr(heard, '\n');
    if (!text) return 96;
    fputs(text + 1, stdout);
    return atoi(heard);
}
