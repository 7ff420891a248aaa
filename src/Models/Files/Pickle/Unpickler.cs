using System.Buffers.Binary;
using System.Text;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Pickle;

/// <summary>
/// Reads the pickle of a state_dict: dictionaries, lists, numbers, texts and tensors. Nothing is executed: of the functions and classes
/// that a pickle may name, the few that torch.save needs for tensors have a meaning here, and every other one is an error that names it.
/// </summary>
/// <remarks>
/// The opcodes are those of Lib/pickletools.py in CPython, protocols 0 to 5; the functions those of torch/_utils.py and
/// torch/_weights_only_unpickler.py.
/// </remarks>
/// <param name="position">The first byte; afterwards <see cref="Position"/> is behind the pickle.</param>
internal sealed class Unpickler(FileMapping file, string path, long position, long end)
{
    private const int MaxDepth = 1 << 20;

    private static readonly object _mark = new();

    private readonly List<object?> _stack = [];
    private readonly Dictionary<int, object?> _memo = [];

    /// <summary>The byte behind the last opcode that was read.</summary>
    public long Position { get; private set; } = position;

    /// <summary>Reads one pickle.</summary>
    /// <returns>A Dictionary of objects, a List, an array (a tuple), a PickleTensor, a text, a number or null.</returns>
    /// <exception cref="CheckpointException">The pickle is damaged, or names something that is not part of a tensor.</exception>
    public object? Read()
    {
        while (true)
        {
            byte opcode = Bytes(1)[0];
            if (opcode == '.') return Pop();
            Execute(opcode);
            if (_stack.Count > MaxDepth) throw Damaged("has more values than a checkpoint has");
        }
    }

    private void Execute(byte opcode)
    {
        switch (opcode)
        {
            case 0x80: _ = Bytes(1); break;                                                        // PROTO
            case 0x95: _ = Bytes(8); break;                                                        // FRAME
            case (byte)'(': Push(_mark); break;                                                    // MARK
            case (byte)'0': _ = Pop(); break;                                                      // POP
            case (byte)'1': _ = PopMark(); break;                                                  // POP_MARK
            case (byte)'2': Push(Peek()); break;                                                   // DUP
            case (byte)'N': Push(null); break;                                                     // NONE
            case 0x88: Push(true); break;                                                          // NEWTRUE
            case 0x89: Push(false); break;                                                         // NEWFALSE
            case (byte)'K': Push((long)Bytes(1)[0]); break;                                        // BININT1
            case (byte)'M': Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Bytes(2))); break;  // BININT2
            case (byte)'J': Push((long)BinaryPrimitives.ReadInt32LittleEndian(Bytes(4))); break;   // BININT
            case 0x8a: Push(Long(Bytes(1)[0])); break;                                             // LONG1
            case 0x8b: Push(Long(Length(4))); break;                                               // LONG4
            case (byte)'I' or (byte)'L': Push(Integer(Line())); break;                             // INT, LONG
            case (byte)'F': Push(Line()); break;                                                   // FLOAT, which nothing uses
            case (byte)'G': Push(BinaryPrimitives.ReadDoubleBigEndian(Bytes(8))); break;           // BINFLOAT
            case (byte)'X': Push(Text(Length(4))); break;                                          // BINUNICODE
            case 0x8c: Push(Text(Bytes(1)[0])); break;                                             // SHORT_BINUNICODE
            case 0x8d: Push(Text(Length(8))); break;                                               // BINUNICODE8
            case (byte)'V': Push(Line()); break;                                                   // UNICODE
            case (byte)'U' or (byte)'C': Push(Text(Bytes(1)[0])); break;                           // SHORT_BINSTRING, SHORT_BINBYTES
            case (byte)'T' or (byte)'B': Push(Text(Length(4))); break;                             // BINSTRING, BINBYTES
            case (byte)'S': Push(Line().Trim('\'', '"')); break;                                   // STRING
            case (byte)')': Push(Array.Empty<object?>()); break;                                   // EMPTY_TUPLE
            case 0x85: Push(new[] { Pop() }); break;                                               // TUPLE1
            case 0x86: Push(PopMany(2)); break;                                                    // TUPLE2
            case 0x87: Push(PopMany(3)); break;                                                    // TUPLE3
            case (byte)'t': Push(PopMark().ToArray()); break;                                      // TUPLE
            case (byte)']': Push(new List<object?>()); break;                                      // EMPTY_LIST
            case (byte)'l': Push(PopMark()); break;                                                // LIST
            case (byte)'a': { object? item = Pop(); Top<List<object?>>().Add(item); break; }       // APPEND
            case (byte)'e': { List<object?> items = PopMark(); Top<List<object?>>().AddRange(items); break; } // APPENDS
            case (byte)'}': Push(new Dictionary<object, object?>()); break;                        // EMPTY_DICT
            case (byte)'d': { List<object?> items = PopMark(); Push(new Dictionary<object, object?>()); SetItems(items); break; } // DICT
            case (byte)'s': SetItems([.. PopMany(2)]); break;                                      // SETITEM
            case (byte)'u': SetItems(PopMark()); break;                                            // SETITEMS
            case (byte)'c': Push(Global(Line(), Line())); break;                                   // GLOBAL
            case 0x93: { object?[] names = PopMany(2); Push(Global(As<string>(names[0]), As<string>(names[1]))); break; } // STACK_GLOBAL
            case (byte)'q': _memo[Bytes(1)[0]] = Peek(); break;                                    // BINPUT
            case (byte)'r': _memo[BinaryPrimitives.ReadInt32LittleEndian(Bytes(4))] = Peek(); break; // LONG_BINPUT
            case (byte)'p': _memo[(int)Integer(Line())] = Peek(); break;                           // PUT
            case 0x94: _memo[_memo.Count] = Peek(); break;                                         // MEMOIZE
            case (byte)'h': Push(Recall(Bytes(1)[0])); break;                                      // BINGET
            case (byte)'j': Push(Recall(BinaryPrimitives.ReadInt32LittleEndian(Bytes(4)))); break; // LONG_BINGET
            case (byte)'g': Push(Recall((int)Integer(Line()))); break;                             // GET
            case (byte)'Q': Push(Storage(Pop())); break;                                           // BINPERSID
            // REDUCE
            case (byte)'R' or 0x81: { object?[] call = PopMany(2); Push(Call(As<PickleGlobal>(call[0]), As<object?[]>(call[1]))); break; }
            case (byte)'b': _ = Pop(); _ = Peek(); break;                                          // BUILD: attributes are not needed
            default: throw Damaged($"has the opcode 0x{opcode:x2} at byte {Position - 1}, which a state_dict does not have");
        }
    }

    /// <summary>The functions and classes of tensors.</summary>
    private PickleGlobal Global(string module, string name)
    {
        bool isKnown = (module, name) switch
        {
            ("collections", "OrderedDict") => true,
            ("torch._utils", "_rebuild_tensor_v2" or "_rebuild_tensor" or "_rebuild_parameter" or "_rebuild_parameter_with_state") => true,
            ("torch", "Size" or "device") or ("torch.nn.parameter", "Parameter") => true,
            ("torch.storage", "UntypedStorage" or "TypedStorage" or "_LegacyStorage") => true,
            ("torch", _) => StorageType(name) is not null || SafetensorsDTypes.OfConfig(name) is not null,
            _ => false,
        };
        return isKnown ? new PickleGlobal(module, name)
            : throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"{path} names `{module}.{name}`, which is no part of a state_dict of tensors: it is refused, and nothing of it was run.",
                "Save the weights alone where you trust the file: model.save_pretrained(folder) writes safetensors.");
    }

    private object? Call(PickleGlobal global, object?[] arguments)
    {
        switch (global.Name)
        {
            case "OrderedDict": return new Dictionary<object, object?>();
            case "Size" when arguments is [object?[] sizes]: return sizes;
            case "device": return "device";
            case "_rebuild_tensor_v2" or "_rebuild_tensor" when arguments.Length >= 4:
                return new PickleTensor(As<PickleStorage>(arguments[0]), As<long>(arguments[1]), Longs(arguments[2]), Longs(arguments[3]));
            case "_rebuild_parameter" or "_rebuild_parameter_with_state" or "Parameter" when arguments.Length >= 1:
                return As<PickleTensor>(arguments[0]);
            default: throw Damaged($"calls `{global}` with {arguments.Length} arguments, which has no meaning for tensors");
        }
    }

    /// <summary>("storage", class, key, location, number of elements, ...)</summary>
    private PickleStorage Storage(object? id)
    {
        object?[] parts = As<object?[]>(id);
        if (parts.Length < 5 || parts[0] is not "storage") throw Damaged("has a reference that is not to a storage");
        PickleGlobal type = As<PickleGlobal>(parts[1]);
        SafetensorsDType dtype = StorageType(type.Name)
            ?? throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} has a `{type}`, which is not a supported type of elements.");
        return new PickleStorage(As<string>(parts[2]), dtype, As<long>(parts[4]));
    }

    private static SafetensorsDType? StorageType(string name) => name switch
    {
        "FloatStorage" => SafetensorsDType.FindByName("F32"),
        "HalfStorage" => SafetensorsDType.FindByName("F16"),
        "BFloat16Storage" => SafetensorsDType.FindByName("BF16"),
        "DoubleStorage" => SafetensorsDType.FindByName("F64"),
        "LongStorage" => SafetensorsDType.FindByName("I64"),
        "IntStorage" => SafetensorsDType.FindByName("I32"),
        "ShortStorage" => SafetensorsDType.FindByName("I16"),
        "CharStorage" => SafetensorsDType.FindByName("I8"),
        "ByteStorage" or "UntypedStorage" => SafetensorsDType.FindByName("U8"),
        "BoolStorage" => SafetensorsDType.FindByName("BOOL"),
        _ => null,
    };

    private void SetItems(List<object?> items)
    {
        Dictionary<object, object?> target = Top<Dictionary<object, object?>>();
        if (items.Count % 2 != 0) throw Damaged("has a key without a value");
        for (int i = 0; i < items.Count; i += 2)
            target[items[i] is string or long ? items[i]! : throw Damaged("has a key that is neither a text nor a number")] = items[i + 1];
    }

    private ReadOnlySpan<byte> Bytes(int count)
    {
        if (count < 0 || count > end - Position) throw Damaged("is truncated");
        Position += count;
        return file.Bytes(Position - count, count);
    }

    private int Length(int bytes)
    {
        ulong length = bytes == 8 ? BinaryPrimitives.ReadUInt64LittleEndian(Bytes(8)) : BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4));
        return length <= (ulong)(end - Position) && length <= int.MaxValue ? (int)length : throw Damaged("is truncated");
    }

    private string Text(int length) => Encoding.UTF8.GetString(Bytes(length));

    private string Line()
    {
        int length = file.Bytes(Position, (int)Math.Min(1 << 16, end - Position)).IndexOf((byte)'\n');
        if (length < 0) throw Damaged("is truncated");
        string line = Text(length);
        _ = Bytes(1);
        return line;
    }

    private long Long(int length)
    {
        ReadOnlySpan<byte> bytes = Bytes(length);
        if (length > 8) return long.MinValue; // PyTorch's magic number, which is compared elsewhere
        long value = 0;
        for (int i = 0; i < length; i++) value |= (long)bytes[i] << (8 * i);
        return length is > 0 and < 8 && (bytes[^1] & 0x80) != 0 ? value - (1L << (8 * length)) : value;
    }

    private long Integer(string line) => line switch
    {
        "00" => 0, // False and True of protocol 0
        "01" => 1,
        _ => long.TryParse(line.TrimEnd('L'), System.Globalization.CultureInfo.InvariantCulture, out long value) ? value
            : throw Damaged($"has `{(line.Length > 40 ? line[..40] : line)}` in place of a number"),
    };

    private void Push(object? value) => _stack.Add(value);

    private object? Peek() => _stack.Count > 0 ? _stack[^1] : throw Damaged("takes a value that is not there");

    private object? Pop()
    {
        object? value = Peek();
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    private object?[] PopMany(int count)
    {
        if (_stack.Count < count) throw Damaged("takes a value that is not there");
        object?[] values = [.. _stack[^count..]];
        _stack.RemoveRange(_stack.Count - count, count);
        return values;
    }

    private List<object?> PopMark()
    {
        int mark = _stack.LastIndexOf(_mark);
        if (mark < 0) throw Damaged("takes a value that is not there");
        List<object?> values = [.. _stack[(mark + 1)..]];
        _stack.RemoveRange(mark, _stack.Count - mark);
        return values;
    }

    private object? Recall(int index) => _memo.TryGetValue(index, out object? value) ? value
        : throw Damaged("recalls a value that is not there");

    private T Top<T>() => As<T>(Peek());

    private T As<T>(object? value) => value is T typed ? typed
        : throw Damaged($"has a {value?.GetType().Name ?? "None"} in place of a {typeof(T).Name}");

    private long[] Longs(object? value) => [.. As<object?[]>(value).Select(As<long>)];

    private Exception Damaged(string what) => Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} {what}.",
        "It is damaged, or not a state_dict that torch.save wrote.");
}
