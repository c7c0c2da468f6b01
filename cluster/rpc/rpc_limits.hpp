// Named maxima of the RPC protocol, with what happens when they are reached.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tessera::rpc_limits {

/// Connections of one listener that have shown who they are; more are told `exhausted` and closed.
inline constexpr std::size_t connections_max = 4096;
/// Connections of one listener that have not yet; one more closes the oldest one of the address that has most of them
/// (an honest peer needs milliseconds).
inline constexpr std::size_t strangers_max = 64;
/// From accept to a finished handshake (TLS, then Gate.enter); later the connection is closed.
inline constexpr std::chrono::milliseconds handshake_deadline{5000};
/// A refused peer may read why for so long.
inline constexpr std::chrono::milliseconds refusal_linger{1000};
/// Unanswered calls of one peer; more are answered `exhausted`.
inline constexpr std::uint32_t calls_in_flight_max = 2048;
/// A longer (or no) deadline of a call is cut to this.
inline constexpr std::chrono::milliseconds call_deadline_max{600'000};

/// Bytes of one message between members; a sender refuses larger ones, a receiver closes the connection.
inline constexpr std::size_t message_bytes_max = 48u << 20;
/// Bytes of unanswered calls of one peer, beyond which nothing more is read from it.
inline constexpr std::size_t flow_bytes_max = 128u << 20;
/// Bytes of one message on the join listener, where anybody may speak.
inline constexpr std::size_t join_message_bytes_max = 64u << 10;
/// Nesting of pointers in a message.
inline constexpr int nesting_max = 32;

/// Tokens and scores of one stream that wait for its frontend; beyond it the frontend counts as gone (it may resume).
inline constexpr std::size_t stream_tokens_waiting_max = 1u << 16;
/// Messages of updates to one frontend that are not yet acknowledged; further updates are merged meanwhile.
inline constexpr std::size_t update_messages_max = 4;
/// Streams in one message of updates.
inline constexpr std::size_t updates_per_message_max = 1024;
/// A frontend that acknowledges no updates for so long counts as gone.
inline constexpr std::chrono::milliseconds update_deadline{10'000};
/// Bytes of one chunk of a tokenizer.
inline constexpr std::size_t tokenizer_chunk_bytes_max = 4u << 20;
/// Lines, and bytes per line, of one answer with log lines; longer lines are cut.
inline constexpr std::size_t log_lines_max = 4096;
inline constexpr std::size_t log_line_bytes_max = 4096;

/// Lengths beyond which a received list or text is refused as hostile.
inline constexpr std::size_t text_bytes_max = 8u << 20;
inline constexpr std::size_t list_entries_max = 1u << 22;
inline constexpr std::size_t structs_max = 1u << 16;
/// Bytes of a stored record.
inline constexpr std::size_t record_bytes_max = 16u << 20;
/// Bytes of a job's result in a list of jobs.
inline constexpr std::size_t listed_result_bytes_max = 4096;

}  // namespace tessera::rpc_limits
