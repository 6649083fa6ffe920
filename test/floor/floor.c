/*
 * The least that the superpoint node can cost: its job in C on rcl, with the same native functions.
 *
 * usage: floor LOGITS MAPS ROWS COLS CHANNELS TYPE ZERO_POINT [--ros-args ...]
 * LOGITS: file of recorded logits, (N, 65, ROWS, COLS) float32. MAPS: file of the raw descriptor
 * maps, (N, CHANNELS, ROWS, COLS) of TYPE, see features.c.
 *
 * Takes `image`, publishes `keypoints` of the next recorded logits for each image and `descriptors`
 * of the newest image five times a second. One thread; no parameters, no diagnostics, no errors but
 * fatal ones.
 */
#include <fcntl.h>
#include <malloc.h>
#include <rcl/rcl.h>
#include <rcutils/error_handling.h>
#include <rcutils/time.h>
#include <rosidl_runtime_c/primitives_sequence_functions.h>
#include <rosidl_runtime_c/string_functions.h>
#include <sensor_msgs/msg/image.h>
#include <signal.h>
#include <stdio.h>
#include <superpoint_rknn/msg/descriptors.h>
#include <superpoint_rknn/msg/keypoints.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "superpoint_rknn/native/features.c"

#define CHECK(call) check((call) == RCL_RET_OK, #call)

enum { MOST = 500 };
static const int64_t PERIOD = RCUTILS_S_TO_NS(1) / 5; /* of descriptors */

static volatile sig_atomic_t is_stopped;

static void stop(int number) {
  (void)number;
  is_stopped = 1;
}

static void check(int succeeded, const char *what) {
  if (succeeded) return;
  fprintf(stderr, "floor: %s failed: %s\n", what, rcutils_get_error_string().str);
  exit(1);
}

static const void *mapped(const char *path, size_t *size) {
  const int file = open(path, O_RDONLY);
  struct stat status;
  check(file >= 0 && fstat(file, &status) == 0, path);
  *size = (size_t)status.st_size;
  const void *content = mmap(NULL, *size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  check(content != MAP_FAILED, path);
  return content;
}

static void assign(rosidl_runtime_c__float__Sequence *field, const float *values, size_t count) {
  if (field->size != count) {
    rosidl_runtime_c__float__Sequence__fini(field);
    check(rosidl_runtime_c__float__Sequence__init(field, count), "float32[]");
  }
  memcpy(field->data, values, count * sizeof *values);
}

static rcl_publisher_t publisher(const rcl_node_t *node, const char *topic,
                                 const rosidl_message_type_support_t *type) {
  rcl_publisher_t created = rcl_get_zero_initialized_publisher();
  rcl_publisher_options_t options = rcl_publisher_get_default_options();
  options.qos.depth = 5;
  CHECK(rcl_publisher_init(&created, node, type, topic, &options));
  return created;
}

static int64_t now(void) {
  int64_t time;
  CHECK(rcutils_steady_time_now(&time));
  return time;
}

int main(int argc, char **argv) {
  check(argc >= 8, "reading the arguments");
  const int rows = atoi(argv[3]), cols = atoi(argv[4]), channels = atoi(argv[5]);
  const int type = atoi(argv[6]);
  const size_t cells = (size_t)rows * (size_t)cols;
  const size_t map_size = (size_t)channels * cells * (type == FLOAT32 ? sizeof(float) : 1);
  size_t logits_size, maps_size;
  const float *logits = mapped(argv[1], &logits_size);
  const char *maps = mapped(argv[2], &maps_size);
  const size_t recorded = maps_size / map_size;
  check(recorded && logits_size == recorded * CHANNELS * cells * sizeof(float), "the recording");
  Decoder *decoder = superpoint_decoder_create(rows, cols);
  Sampler *sampler = superpoint_sampler_create(channels, rows, cols, type, atoi(argv[7]));
  const Settings settings = {0.015f, 4, MOST, 4, 1, 1, 1}; /* the package's defaults */
  static float points[3 * MOST];
  float *descriptors = malloc(MOST * (size_t)channels * sizeof *descriptors);
  char *map = malloc(map_size);
  check(decoder && sampler && descriptors && map, "malloc");

  rcl_allocator_t allocator = rcl_get_default_allocator();
  rcl_init_options_t init_options = rcl_get_zero_initialized_init_options();
  CHECK(rcl_init_options_init(&init_options, allocator));
  rcl_context_t context = rcl_get_zero_initialized_context();
  CHECK(rcl_init(argc, (const char *const *)argv, &init_options, &context));
  signal(SIGINT, stop);
  signal(SIGTERM, stop);
  rcl_node_t node = rcl_get_zero_initialized_node();
  rcl_node_options_t node_options = rcl_node_get_default_options();
  CHECK(rcl_node_init(&node, "floor", "", &context, &node_options));
  rcl_subscription_t subscription = rcl_get_zero_initialized_subscription();
  rcl_subscription_options_t options = rcl_subscription_get_default_options();
  options.qos.depth = 1;
  CHECK(rcl_subscription_init(&subscription, &node,
                              ROSIDL_GET_MSG_TYPE_SUPPORT(sensor_msgs, msg, Image), "image",
                              &options));
  rcl_publisher_t keypoints_topic = publisher(
      &node, "keypoints", ROSIDL_GET_MSG_TYPE_SUPPORT(superpoint_rknn, msg, Keypoints));
  rcl_publisher_t descriptors_topic = publisher(
      &node, "descriptors", ROSIDL_GET_MSG_TYPE_SUPPORT(superpoint_rknn, msg, Descriptors));
  rcl_wait_set_t wait_set = rcl_get_zero_initialized_wait_set();
  CHECK(rcl_wait_set_init(&wait_set, 1, 0, 0, 0, 0, 0, &context, allocator));
  sensor_msgs__msg__Image *image = sensor_msgs__msg__Image__create();
  superpoint_rknn__msg__Descriptors *described = superpoint_rknn__msg__Descriptors__create();
  check(image && described, "creating messages");
  superpoint_rknn__msg__Keypoints *keypoints = &described->keypoints;
  rosidl_runtime_c__String__assign(&described->model, "recording");
  described->dim = (uint32_t)channels;
  mallopt(M_MMAP_MAX, 0); /* as the node does */
  mallopt(M_TRIM_THRESHOLD, INT32_MAX);

  size_t index = 0;
  int count = 0, is_new = 0;
  for (int64_t next = now() + PERIOD; !is_stopped;) {
    const int64_t left = next - now();
    if (left <= 0) {
      next += PERIOD;
      if (is_new) {
        is_new = 0;
        memcpy(map, maps + index * map_size, map_size); /* fetched from the runtime */
        superpoint_describe(sampler, map, count, points, points + MOST, descriptors);
        described->header.stamp = keypoints->header.stamp;
        rosidl_runtime_c__String__assign(&described->header.frame_id,
                                         keypoints->header.frame_id.data);
        assign(&described->data, descriptors, (size_t)count * (size_t)channels);
        CHECK(rcl_publish(&descriptors_topic, described, NULL));
      }
      continue;
    }
    CHECK(rcl_wait_set_clear(&wait_set));
    CHECK(rcl_wait_set_add_subscription(&wait_set, &subscription, NULL));
    const rcl_ret_t waited = rcl_wait(&wait_set, left);
    if (waited == RCL_RET_TIMEOUT) continue;
    check(waited == RCL_RET_OK, "rcl_wait");
    const rcl_ret_t taken = rcl_take(&subscription, image, NULL, NULL);
    if (taken == RCL_RET_SUBSCRIPTION_TAKE_FAILED) { /* woken without an image */
      rcutils_reset_error();
      continue;
    }
    check(taken == RCL_RET_OK, "rcl_take");
    index = (index + 1) % recorded;
    count = superpoint_decode(decoder, logits + index * CHANNELS * cells, &settings, NULL, points);
    superpoint_refine(image->data.data, (int)image->height, (int)image->width, count, points,
                      points + MOST);
    keypoints->header.stamp = image->header.stamp;
    rosidl_runtime_c__String__assign(&keypoints->header.frame_id, image->header.frame_id.data);
    keypoints->height = image->height;
    keypoints->width = image->width;
    assign(&keypoints->x, points, (size_t)count);
    assign(&keypoints->y, points + MOST, (size_t)count);
    assign(&keypoints->score, points + 2 * MOST, (size_t)count);
    CHECK(rcl_publish(&keypoints_topic, keypoints, NULL));
    is_new = 1;
  }
  _exit(0); /* the middleware's threads end with the process */
}
