// Node 20 or later with the package tango-token, whose README (consumers/typescript) says how to install it.
import { tokenFetch, TokenReader } from "tango-token";

const call = tokenFetch(new TokenReader(process.env.TOKEN_SECRET_ID ?? ""));
const response = await call(process.env.API_URL ?? "");
console.log(response.status);
