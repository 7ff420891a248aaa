namespace Ndif.Tokenizers.Chat;

/// <summary>
/// The value of a name that is not defined. It is empty when it is printed, tested or iterated over; any other use is an error.
/// </summary>
/// <remarks>jinja2/runtime.py, Undefined</remarks>
internal sealed record UndefinedValue(string Name);
