/*
 * tree make FOLDER FILES BYTES: makes FILES files of BYTES each, a hundred in a folder, as compressible as source code.
 * tree read FOLDER: reads every file below FOLDER once.
 */
#include <fcntl.h>
#include <fts.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char words[16][8] = {"const ", "return ", "export ", "import ", "value", "type ", "=> {\n", "};\n",
                                  "await ", "name",    "index",   "string", "number", "  ",    "(0)",    "[]\n"};

static void fill(char *content, size_t bytes, uint64_t seed) {
  for (size_t length = 0; length < bytes;) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const char *word = words[seed >> 60];
    size_t part = strlen(word) < bytes - length ? strlen(word) : bytes - length;
    memcpy(content + length, word, part);
    length += part;
  }
}

static int make(const char *folder, long files, size_t bytes) {
  char path[4096], *content = malloc(bytes);
  for (long number = 0; number < files; number++) {
    if (number % 100 == 0) {
      snprintf(path, sizeof path, "%s/%ld", folder, number / 100);
      if (mkdir(path, 0755) != 0) return 1;
    }
    snprintf(path, sizeof path, "%s/%ld/%ld.js", folder, number / 100, number);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    fill(content, bytes, (uint64_t)number);
    if (file < 0 || write(file, content, bytes) != (ssize_t)bytes || close(file) != 0) return 1;
  }
  return 0;
}

static int read_all(char *folder) {
  static char content[1 << 20];
  FTS *tree = fts_open((char *[]){folder, NULL}, FTS_PHYSICAL | FTS_NOSTAT, NULL);
  long files = 0;
  for (FTSENT *entry; (entry = fts_read(tree)) != NULL;) {
    if (entry->fts_info != FTS_F && entry->fts_info != FTS_NSOK) continue;
    int file = open(entry->fts_accpath, O_RDONLY);
    if (file < 0) return 1;
    while (read(file, content, sizeof content) > 0) continue;
    close(file);
    files++;
  }
  printf("%ld files\n", files);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 5 && strcmp(arguments[1], "make") == 0)
    return make(arguments[2], atol(arguments[3]), (size_t)atol(arguments[4]));
  if (count == 3 && strcmp(arguments[1], "read") == 0) return read_all(arguments[2]);
  return 2;
}
