using System.Runtime.InteropServices;
using Google.Protobuf.Reflection;
using static Google.Protobuf.WireFormat;

namespace Ndif.Protocol.Wire;

/// <summary>
/// Walks the bytes of a protobuf message before it is decoded, without allocating, and refuses one that would become too large in memory:
/// an empty message takes two bytes on the wire and some hundred as an object. Bytes that are not a message of this type are refused too;
/// a message that passes can still be refused by the parser (texts that are not UTF-8).
/// </summary>
public ref struct WireScan
{
    private const int StringBytes = 24, ByteStringBytes = 64, ReferenceBytes = 16, ArrayBytes = 88, MapEntryBytes = 160;
    private const int UnknownFieldBytes = 256;

    private readonly ReadOnlySpan<byte> _message;
    private readonly WireLimits _limits;
    private int _position;
    private long _bytes;
    private int _objects;

    private WireScan(ReadOnlySpan<byte> message, WireLimits limits)
    {
        _message = message;
        _limits = limits;
    }

    /// <summary>Returns how many bytes of memory a message needs when it is decoded: an estimate, true to a factor of about two.</summary>
    /// <exception cref="NdifException">
    /// LIMIT_EXCEEDED: the message would be too large. BAD_ARGUMENT: the bytes are not a message of this type.
    /// </exception>
    public static long Measure(ReadOnlySpan<byte> message, MessageDescriptor type, WireLimits limits)
    {
        var scan = new WireScan(message, limits);
        scan.ScanMessage(MessageShape.Of(type), message.Length, 0);
        return scan._bytes;
    }

    private void ScanMessage(MessageShape type, int end, int depth)
    {
        if (depth > _limits.Depth) throw TooDeep(_limits.Depth);
        if (type.IsMapEntry) Add(MapEntryBytes + (type.MapValue?.Bytes ?? 0));
        else Add(type.Bytes);
        ulong seen = 0;
        while (_position < end)
        {
            ulong tag = ReadVarint(end);
            (ulong number, WireType wire) = (tag >> 3, (WireType)(tag & 7));
            if (number is 0 or > 536_870_911 || tag > uint.MaxValue) throw Malformed(type);
            FieldShape? field = type.GetField((uint)number);
            if (field is not null && field.IsRepeated && (seen & field.Bit) == 0) _bytes += ArrayBytes;
            // The parser copies what a field of a oneof holds each time it occurs again, so that a few bytes copy a whole program.
            if (field is { IsInOneof: true, Message: not null } && (seen & field.Bit) != 0) throw SetTwice(type);
            if (field is not null) seen |= field.Bit;
            switch (wire)
            {
                case WireType.Varint:
                    ReadVarint(end);
                    AddNumber(field, wire);
                    break;
                case WireType.Fixed32:
                    Skip(4, end, type);
                    AddNumber(field, wire);
                    break;
                case WireType.Fixed64:
                    Skip(8, end, type);
                    AddNumber(field, wire);
                    break;
                case WireType.LengthDelimited:
                    ulong length = ReadVarint(end);
                    if (length > (ulong)(end - _position)) throw Malformed(type);
                    ScanContent(field, (int)length, depth);
                    break;
                default: // groups, which proto3 does not have
                    throw Malformed(type);
            }
        }
    }

    private void ScanContent(FieldShape? field, int length, int depth)
    {
        int end = _position + length;
        switch (field)
        {
            case null:
                Add(UnknownFieldBytes + length);
                break;
            case { Message: { } message }:
                if (field.IsRepeated) _bytes += ReferenceBytes;
                ScanMessage(message, end, depth + 1);
                break;
            case { Type: FieldType.String }:
                Add(StringBytes + (2L * length) + (field.IsRepeated ? ReferenceBytes : 0));
                break;
            case { Type: FieldType.Bytes }:
                Add(ByteStringBytes + length + (field.IsRepeated ? ReferenceBytes : 0));
                break;
            case { IsRepeated: true }: // packed numbers; the array of a list has up to twice as many places
                _bytes += 2L * field.ElementBytes * CountNumbers(_message.Slice(_position, length), field.WireType);
                break;
            default:
                Add(UnknownFieldBytes + length);
                break;
        }
        _position = end;
        Check();
    }

    private void AddNumber(FieldShape? field, WireType wire)
    {
        if (field is null || field.WireType != wire) Add(UnknownFieldBytes);
        else if (field.IsRepeated) _bytes += 2L * field.ElementBytes;
        Check();
    }

    private void Add(long bytes)
    {
        _bytes += bytes;
        _objects++;
        Check();
    }

    private readonly void Check()
    {
        if (_bytes > _limits.DecodedBytes) throw TooLarge(_limits.DecodedBytes, _message.Length);
        if (_objects > _limits.Objects) throw TooMany(_limits.Objects, _message.Length);
    }

    private static int CountNumbers(ReadOnlySpan<byte> packed, WireType wire)
    {
        if (wire is WireType.Fixed64) return packed.Length / 8;
        if (wire is WireType.Fixed32) return packed.Length / 4;
        int count = 0;
        foreach (sbyte part in MemoryMarshal.Cast<byte, sbyte>(packed)) count += part >= 0 ? 1 : 0; // the last byte of each varint
        return count;
    }

    private ulong ReadVarint(int end)
    {
        ulong value = 0;
        for (int shift = 0; shift < 70; shift += 7)
        {
            if (_position >= end) break;
            byte part = _message[_position++];
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80) return value;
        }
        throw Malformed(null);
    }

    private void Skip(int count, int end, MessageShape type)
    {
        if (count > end - _position) throw Malformed(type);
        _position += count;
    }

    private static Exception Malformed(MessageShape? type) => Errors.CreateException(
        ErrorCode.BadArgument, $"The request is not a valid message of this call{(type is null ? "" : $": its `{type.Name}` is broken")}.",
        "Check that client and server use the same version of ndif.v1, and that no proxy changes the message.");

    private static Exception SetTwice(MessageShape type) => Errors.CreateException(
        ErrorCode.BadArgument, $"A `{type.Name}` in the message has the same part twice.", "Send each part of a message once.");

    private static Exception TooDeep(int limit) => Errors.CreateException(
        ErrorCode.BadArgument, $"The message is nested deeper than {limit} levels.", "Use fewer levels of nested lists and dictionaries.");

    private static Exception TooLarge(long limit, int length) => Errors.CreateException(
        ErrorCode.LimitExceeded, $"The message has {length:N0} bytes and would need more than {limit:N0} bytes of memory when decoded.",
        "Record loops instead of unrolled statements, split the experiment, or upload large constants as blobs.");

    private static Exception TooMany(int limit, int length) => Errors.CreateException(
        ErrorCode.LimitExceeded, $"The message has {length:N0} bytes and more than {limit:N0} parts.",
        "Record loops instead of unrolled statements, or split the experiment.");
}
